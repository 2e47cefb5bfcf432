"""The printable statement of one DR event."""

from collections.abc import Iterator
from html import escape

from application.settlement.formula import Tokens, formula_of
from application.settlement.own_part import own_part
from application.settlement.shapes import (
    Flag,
    LineFigures,
    ResettlementFigures,
    SettlementDocument,
    UnitFigures,
)
from interfaces.settlement.statement.chart import chart
from interfaces.settlement.statement.origins import origin_sections
from interfaces.settlement.statement.page import (
    NOTHING,
    TOP,
    Content,
    cell,
    element,
    fields,
    foot,
    number,
    number_cell,
    page,
    row,
    section,
    table,
    text_cell,
)
from interfaces.settlement.statement.quantities import (
    IN_THE_CSV,
    facility_interval_section,
    facility_section,
    interval_section,
    left_out,
)
from interfaces.settlement.statement.words import WHY, Clock, plain, result_words

MOST_LINES, MOST_FLAGS = 6_000, 500
"""Of the page; the CSV has all lines, the JSON document all flags."""


def statement_html(
    document: SettlementDocument,
    *,
    facility: str | None = None,
    previous: SettlementDocument | None = None,
    measurement_path: str | None = None,
) -> str:
    """A page without script, for A4 and letter. `facility`: that one's own rows alone; `previous`: the revision before,
    for its changes at level `portfolio`. `measurement_path`: address of how a facility was measured, with `{}` for its
    id; None: the page has no such links. Raises FacilityNotSettled."""
    if facility is not None:
        document = own_part(document, facility, previous)
    clock = Clock(document)
    return page(
        f"Settlement of {document.dr_event_id}",
        [
            _head(document, facility),
            _facts(document, clock),
            chart(document, clock.label),
            section("What is paid, and how it is computed", _lines(document), at="lines"),
            _changes(document),
            interval_section(document, clock),
            facility_section(document),
            facility_interval_section(document, clock),
            section("Left out, and why", left_out(document, clock)),
            _flags(document),
            *origin_sections(document, clock, measurement_path),
        ],
    )


def _head(document: SettlementDocument, facility: str | None) -> Content:
    who = (
        f"for facility {facility}"
        if facility is not None
        else f"for the utility, program {document.program_id}"
    )
    status = "settled" if document.status == "settled" else "not settled"
    revision = "first settlement" if document.revision == 0 else f"revision {document.revision}"
    why = "; ".join(plain(reason) for reason in document.reasons)
    total = f"{document.total} {document.currency}"
    owed = "owed by the utility" if not document.total.startswith("-") else "owed to the utility"
    subject = (
        f'<p class="soft">Settlement statement {escape(who)}</p><h1>{escape(document.dr_event_id)}</h1>'
        f'<p class="soft">{status}{": " + escape(why) if why else ""}; {revision}</p>'
    )
    amount = f'<span class="soft">Total, {owed}</span>', element("strong", number(total, "lines"))
    return element("header", (element("div", subject), element("div", amount, css="total")), at=TOP)


def _facts(document: SettlementDocument, clock: Clock) -> Content:
    window = clock.span(document.window_starts_at, document.window_ends_at)
    agreed = f"{document.program_id}, version {document.program_version}"
    rule = document.inputs.program.settlement.of_kind(document.kind)
    level = "each facility by itself" if document.level == "facility" else "all facilities as one portfolio"
    entries: list[tuple[str, Content]] = [
        ("Program", number(agreed, "program")),
        ("Kind of DR event", escape(document.kind)),
        ("Window", window),
        ("Time zone", escape(clock.name)),
        ("Ended", escape(result_words(document.inputs.dr_event.status))),
        ("Settled", level),
        (
            "Settlement interval",
            (number(f"{rule.interval_s} s", "rule/interval_s"), f" of {document.step_s} s steps"),
        ),
        (
            "Performance",
            NOTHING if document.performance is None else number(document.performance, "intervals"),
        ),
    ]
    return fields(entries)


def _lines(document: SettlementDocument) -> Content:
    if not document.lines:
        return '<p class="soft">There is no line: nothing is paid with this DR event.</p>'
    of_unit = {unit.unit: unit for unit in document.units}
    rows, before = [], dict[str, list[LineFigures]]()
    for line in document.lines[:MOST_LINES]:
        others = before.setdefault(line.unit, [])
        note = "" if line.note is None else f'<br><span class="faint">{escape(plain(line.note))}</span>'
        place = f"line/{line.unit}/{line.component}"
        rows.append(
            row(
                [
                    text_cell(line.unit),
                    cell(escape(line.component) + note),
                    cell(_formula(document, line, of_unit.get(line.unit), others), at=f"{place}/formula"),
                    number_cell(line.amount, f"{place}/formula"),
                ],
                at=place,
            )
        )
        others.append(line)
    last = foot("Total", document.total, "lines", columns=3)
    said = "Above 0 the utility owes the amount. Each line is rounded once, the total is their sum."
    columns = ["Unit", "For", "Formula in numbers", f"#Amount, {document.currency}"]
    left = len(document.lines) - len(rows)
    more = IN_THE_CSV.format(left=f"{left} lines") if left else ""
    return table(columns, rows, caption=said, last=last), more


def _formula(
    document: SettlementDocument, line: LineFigures, unit: UnitFigures | None, others: list[LineFigures]
) -> Content:
    if unit is None:
        return escape(line.formula)
    rule = document.inputs.program.settlement.of_kind(document.kind)
    return html_of(formula_of(rule, document.inputs.dr_event, unit, line, others))


def html_of(tokens: Tokens) -> Content:
    """A formula, each of its numbers with its origin."""
    return [
        number(token.text, token.origin) if token.origin else escape(token.text.replace(" x ", " × "))
        for token in tokens
    ]


def _flags(document: SettlementDocument) -> Content:
    shown = [_flag(flag) for flag in document.flags[:MOST_FLAGS]]
    if (left := len(document.flags) - MOST_FLAGS) > 0:
        shown.append(f'<p class="soft">{left} more are in the JSON document.</p>')
    return section("To look at", shown and ('<p class="soft">No amount depends on these.</p>', shown))


def _flag(flag: Flag) -> Content:
    content = (
        f"<strong>{escape(plain(flag.flag))}</strong>, {escape(flag.facility_id)}: ",
        number(flag.figure, f"measurement/{flag.facility_id}"),
        f"<br>{escape(flag.means)} {escape(flag.do)}",
    )
    return element("div", content, css="flag keep")


def _changes(document: SettlementDocument) -> Content:
    resettlement = document.resettlement
    if resettlement is None:
        return ""
    rows = [
        row(
            [
                text_cell(unit),
                text_cell(component),
                number_cell(old, f"revision/{resettlement.of_revision}"),
                number_cell(new, f"line/{unit}/{component}/formula"),
                number_cell(difference, f"line/{unit}/{component}/formula"),
            ]
        )
        for unit, component, old, new, difference in _side_by_side(document, resettlement)
    ]
    reasons = [
        element(
            "li",
            (
                f"{escape(WHY.get(reason.why, reason.why))}: ",
                number(f"{reason.amount} {document.currency}", _origin_of(reason.why)),
            ),
        )
        for reason in resettlement.by_reason
    ]
    earlier = element(
        "p",
        f"Revision {resettlement.of_revision} stays as it was. SHA-256 of its document: "
        f"<code>{escape(resettlement.of_digest)}</code>",
        css="faint",
        at=f"revision/{resettlement.of_revision}",
    )
    columns = ["Unit", "For", "#Before", "#Now", f"#Difference, {document.currency}"]
    last = foot("Difference", resettlement.difference, "changes", columns=4)
    content = table(columns, rows, caption=f"Revision {resettlement.of_revision} and this one", last=last)
    because = ("<p>The difference comes from:</p>", element("ul", reasons)) if reasons else ""
    return section("What changed, and why", (content, because, earlier), at="changes")


def _origin_of(why: str) -> str:
    return {"rule": "rule", "event": "event", "baseline": "measurements"}.get(why, "steps")


def _side_by_side(
    document: SettlementDocument, resettlement: ResettlementFigures
) -> Iterator[tuple[str, str, str, str, str]]:
    """Unit, component, old, new and difference of every line, also of those that stayed or are gone; with very many
    lines, of those that moved."""
    changes = {(change.unit, change.component): change for change in resettlement.changes}
    zero = f"{0:.{document.minor_unit}f}"
    for line in document.lines if len(document.lines) <= MOST_LINES else ():
        moved = changes.pop((line.unit, line.component), None)
        if moved is None:
            yield line.unit, line.component, line.amount, line.amount, zero
        else:
            yield moved.unit, moved.component, moved.old, moved.new, moved.difference
    for change in changes.values():
        yield change.unit, change.component, change.old, change.new, change.difference
