"""The printable statement of one DR event."""

from collections.abc import Iterator
from html import escape

from application.settlement.formula import Tokens, formula_of
from application.settlement.own_part import own_part
from application.settlement.shapes import (
    LineFigures,
    ResettlementFigures,
    SettlementDocument,
    UnitFigures,
)
from application.settlement.statement.chart import chart
from application.settlement.statement.origins import origin_sections
from application.settlement.statement.page import (
    NOTHING,
    cell,
    fields,
    number,
    number_cell,
    page,
    row,
    section,
    table,
    text_cell,
)
from application.settlement.statement.quantities import (
    IN_THE_CSV,
    facility_interval_section,
    facility_section,
    interval_section,
    left_out,
)
from application.settlement.statement.words import WHY, Clock, plain, result_words

MOST_LINES, MOST_FLAGS = 6_000, 500
"""Of the page; the CSV has all lines, the JSON document all flags."""


def statement_html(
    document: SettlementDocument,
    *,
    facility: str | None = None,
    previous: SettlementDocument | None = None,
    measurement_path: str | None = None,
) -> str:
    """One page without script, for A4 and letter. `facility`: that one's own rows alone; `previous`: the revision
    before, for its changes at level `portfolio`. `measurement_path`: address of how a facility was measured, with `{}`
    for its id; None: the page has no such links. Raises FacilityNotSettled."""
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


def _head(document: SettlementDocument, facility: str | None) -> str:
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
    return (
        f'<header id="top"><div><p class="soft">Settlement statement {escape(who)}</p>'
        f"<h1>{escape(document.dr_event_id)}</h1>"
        f'<p class="soft">{status}{": " + escape(why) if why else ""}; {revision}</p></div>'
        f'<div class="total"><span class="soft">Total, {owed}</span>'
        f"<strong>{number(total, 'lines')}</strong></div></header>"
    )


def _facts(document: SettlementDocument, clock: Clock) -> str:
    window = clock.span(document.window_starts_at, document.window_ends_at)
    agreed = f"{document.program_id}, version {document.program_version}"
    rule = document.inputs.program.settlement.of_kind(document.kind)
    level = "each facility by itself" if document.level == "facility" else "all facilities as one portfolio"
    entries = [
        ("Program", number(agreed, "program")),
        ("Kind of DR event", escape(document.kind)),
        ("Window", window),
        ("Time zone", escape(clock.name)),
        ("Ended", escape(result_words(document.inputs.dr_event.status))),
        ("Settled", level),
        (
            "Settlement interval",
            f"{number(f'{rule.interval_s} s', 'rule/interval_s')} of {document.step_s} s steps",
        ),
        (
            "Performance",
            NOTHING if document.performance is None else number(document.performance, "intervals"),
        ),
    ]
    return fields(entries)


def _lines(document: SettlementDocument) -> str:
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
    foot = f'<tr><td colspan="3">Total</td><td class="n">{number(document.total, "lines")}</td></tr>'
    said = "Above 0 the utility owes the amount. Each line is rounded once, the total is their sum."
    columns = ["Unit", "For", "Formula in numbers", f"#Amount, {document.currency}"]
    left = len(document.lines) - len(rows)
    more = IN_THE_CSV.format(left=f"{left} lines") if left else ""
    return table(columns, rows, caption=said, foot=foot) + more


def _formula(
    document: SettlementDocument, line: LineFigures, unit: UnitFigures | None, others: list[LineFigures]
) -> str:
    if unit is None:
        return escape(line.formula)
    rule = document.inputs.program.settlement.of_kind(document.kind)
    return html_of(formula_of(rule, document.inputs.dr_event, unit, line, others))


def html_of(tokens: Tokens) -> str:
    """A formula, each of its numbers with its origin."""
    return "".join(
        number(token.text, token.origin) if token.origin else escape(token.text.replace(" x ", " × "))
        for token in tokens
    )


def _flags(document: SettlementDocument) -> str:
    shown = "".join(
        f'<div class="flag keep"><strong>{escape(plain(flag.flag))}</strong>, {escape(flag.facility_id)}: '
        f"{number(flag.figure, f'measurement/{flag.facility_id}')}<br>{escape(flag.means)} {escape(flag.do)}</div>"
        for flag in document.flags[:MOST_FLAGS]
    )
    if (left := len(document.flags) - MOST_FLAGS) > 0:
        shown += f'<p class="soft">{left} more are in the JSON document.</p>'
    return section("To look at", shown and f'<p class="soft">No amount depends on these.</p>{shown}')


def _changes(document: SettlementDocument) -> str:
    found = document.resettlement
    if found is None:
        return ""
    rows = [
        row(
            [
                text_cell(unit),
                text_cell(component),
                number_cell(old, f"revision/{found.of_revision}"),
                number_cell(new, f"line/{unit}/{component}/formula"),
                number_cell(difference, f"line/{unit}/{component}/formula"),
            ]
        )
        for unit, component, old, new, difference in _side_by_side(document, found)
    ]
    foot = f'<tr><td colspan="4">Difference</td><td class="n">{number(found.difference, "changes")}</td></tr>'
    reasons = "".join(
        f"<li>{escape(WHY.get(one.why, one.why))}: "
        f"{number(f'{one.amount} {document.currency}', _origin_of(one.why))}</li>"
        for one in found.by_reason
    )
    earlier = (
        f'<p class="faint" id="revision/{found.of_revision}">Revision {found.of_revision} stays as it was. SHA-256 of '
        f"its document: <code>{escape(found.of_digest)}</code></p>"
    )
    columns = ["Unit", "For", "#Before", "#Now", f"#Difference, {document.currency}"]
    content = table(columns, rows, caption=f"Revision {found.of_revision} and this one", foot=foot)
    because = f"<p>The difference comes from:</p><ul>{reasons}</ul>" if reasons else ""
    return section("What changed, and why", content + because + earlier, at="changes")


def _origin_of(why: str) -> str:
    return {"rule": "rule", "event": "event", "baseline": "measurements"}.get(why, "steps")


def _side_by_side(
    document: SettlementDocument, found: ResettlementFigures
) -> Iterator[tuple[str, str, str, str, str]]:
    """Unit, component, old, new and difference of every line, also of those that stayed or are gone; with very many
    lines, of those that moved."""
    changes = {(one.unit, one.component): one for one in found.changes}
    zero = f"{0:.{document.minor_unit}f}"
    for line in document.lines if len(document.lines) <= MOST_LINES else ():
        change = changes.pop((line.unit, line.component), None)
        if change is None:
            yield line.unit, line.component, line.amount, line.amount, zero
        else:
            yield change.unit, change.component, change.old, change.new, change.difference
    for change in changes.values():
        yield change.unit, change.component, change.old, change.new, change.difference
