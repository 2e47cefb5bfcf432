"""Where the numbers of a statement come from: the rule, the DR event, the baselines, the metering steps."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec

from application.settlement.formula import rfc3339
from application.settlement.rule_words import words_of
from application.settlement.shapes import AdjustmentSummary, BaselineSummary, SettlementDocument
from interfaces.settlement.statement.page import (
    NOTHING,
    Content,
    cell,
    element,
    fields,
    number,
    number_cell,
    row,
    section,
    table,
    text_cell,
)
from interfaces.settlement.statement.words import Clock

MOST_STEPS = 5_000
MOST_FACILITIES = 2_000


def origin_sections(
    document: SettlementDocument, clock: Clock, measurement_path: str | None = None
) -> Iterator[Content]:
    """`measurement_path`: address of how a facility was measured, with `{}` for its id."""
    yield _rule(document)
    yield _event(document, clock)
    yield _measurements(document, measurement_path)
    yield _steps(document, clock)


def _rule(document: SettlementDocument) -> Content:
    rule = document.inputs.program.settlement
    words = "".join(f"<li>{escape(said)}</li>" for said in words_of(rule))
    members = msgspec.to_builtins(rule.of_kind(document.kind))
    kinds = members.pop("kinds", None)
    shown = _fields(members, "")
    groups = {path.split(".")[0] for path, _ in _members(members, "") if "." in path}
    targets = [element("span", "", at=f"rule/{name}") for name in sorted(groups)]
    others = f'<p class="faint">Other kinds of DR event: {escape(", ".join(kinds))}.</p>' if kinds else ""
    said = f'<p class="faint">The members of the rule for DR events of kind {escape(document.kind)}:</p>'
    recorded = _recorded(document.origins.get("program"))
    content = element("div", (f"<ul>{words}</ul>{said}", targets, shown, others, recorded), at="program")
    title = f"The rule: program {document.program_id}, version {document.program_version}"
    return section(title, content, at="rule")


def rule_fields(member: msgspec.Struct | None, path: str) -> Content:
    """A member of a rule, each of its own with its path."""
    return "" if member is None else _fields(msgspec.to_builtins(member), path)


def _fields(members: Mapping[str, Any], path: str) -> Content:
    return fields(((name, escape(str(value))) for name, value in _members(members, path)), at="rule")


def _members(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, object]]:
    """The paths of a rule that are set, with their values; tiers one by one."""
    for name, member in value.items():
        here = f"{path}.{name}" if path else name
        if isinstance(member, dict):
            yield from _members(member, here)
        elif isinstance(member, list | tuple):
            for number_, entry in enumerate(member):
                yield f"{here}[{number_}]", ", ".join(f"{key} {part}" for key, part in entry.items())
        elif member is not None:
            yield here, member


def _recorded(domain_event_id: str | None) -> Content:
    """The domain event that recorded it, as a target of links."""
    if domain_event_id is None:
        return ""
    place = f"domain-event/{domain_event_id}"
    content = "Recorded by domain event ", number(domain_event_id, place)
    return element("p", content, css="faint", at=place)


def _event(document: SettlementDocument, clock: Clock) -> Content:
    dr_event = document.inputs.dr_event
    origin = document.origins.get("event")
    place = "event" if origin is None else f"domain-event/{origin}"
    rows = []
    for facility in dr_event.facilities[:MOST_FACILITIES]:
        committed = [
            (", " if number_ else "", f"{clock.date_time(one.from_)}: ", number(f"{one.kw} kW", place))
            for number_, one in enumerate(facility.commitments)
        ]
        rows.append(
            row(
                [
                    text_cell(facility.facility_id),
                    cell(committed or number(f"{facility.committed_kw} kW", place)),
                    cell(_moment(facility.starts_at, clock)),
                    cell(_moment(facility.ends_at, clock)),
                    cell(_moment(facility.opted_out_at, clock)),
                    text_cell(facility.tz),
                ],
                at=f"event/facilities/{facility.facility_id}",
            )
        )
    columns = ["Facility", "Committed", "Own start", "Own end", "Opted out", "Time zone"]
    prices = [
        row(
            [cell(clock.date_time(one.starts_at)), number_cell(one.per_kwh, place)],
            at=f"event/prices/{rfc3339(one.starts_at)}",
        )
        for one in dr_event.prices
    ]
    committed_table = table(columns, rows, caption="What was committed") if rows else ""
    price_columns = ["Interval", f"#{document.currency} per kWh"]
    price_table = table(price_columns, prices, caption="Prices of the DR event") if prices else ""
    content = [part for part in (committed_table, price_table, _recorded(origin)) if part]
    return section("The DR event", content, at="event")


def _moment(moment: Any, clock: Clock) -> str:
    return NOTHING if moment is None else clock.date_time(moment)


def _measurements(document: SettlementDocument, path: str | None) -> Content:
    rows = [
        _measurement(facility.facility_id, facility.baseline, path)
        for facility in document.facilities[:MOST_FACILITIES]
        if facility.baseline is not None
    ]
    columns = ["Facility", "Method", "Days", "Adjustment", "Domain event"]
    said = "What the baseline of each facility was computed from"
    content = table(columns, rows, caption=said) if rows else '<p class="soft">Given with the readings.</p>'
    return section("The baselines", content, at="measurements")


def _measurement(facility_id: str, baseline: BaselineSummary, path: str | None) -> Content:
    recorded: Content = NOTHING
    if baseline.domain_event_id is not None:
        place = f"domain-event/{baseline.domain_event_id}"
        shown = number(baseline.domain_event_id, place)
        if path is not None:
            address = path.format(quote(facility_id, safe=""))
            shown = (
                f'<a href="{escape(address)}" data-origin="{place}">{escape(baseline.domain_event_id)}</a>'
            )
        recorded = element("span", shown, at=place)
    return row(
        [
            text_cell(facility_id),
            text_cell(baseline.method),
            text_cell(baseline.impossible or ", ".join(day.isoformat() for day in baseline.days) or "-"),
            text_cell(_adjustment(baseline.adjustment)),
            cell(recorded),
        ],
        at=f"measurement/{facility_id}",
    )


def _adjustment(adjustment: AdjustmentSummary | None) -> str:
    if adjustment is None or adjustment.value is None:
        return "none"
    value = (
        f"{adjustment.value:.4f}" if adjustment.kind == "multiplicative" else f"{adjustment.value:+.3f} kW"
    )
    at_bound = ", at its bound" if adjustment.clipped else ""
    compared = (
        ""
        if adjustment.metered_kw is None or adjustment.baseline_kw is None
        else f"; {adjustment.metered_kw:.3f} kW metered against {adjustment.baseline_kw:.3f} kW before the start"
    )
    return f"{adjustment.kind} {value}{at_bound}{compared}"


def _steps(document: SettlementDocument, clock: Clock) -> Content:
    """A row for each metering step. The ids of a facility and of its intervals lead to the first row of each."""
    rows, left = list[Content](), 0
    for facility in document.facilities:
        if len(rows) + len(facility.steps) > MOST_STEPS:
            left += len(facility.steps)
            continue
        name = facility.facility_id
        recorded = None if facility.baseline is None else facility.baseline.domain_event_id
        origin = f"measurement/{name}" if recorded is None else f"domain-event/{recorded}"
        for number_, step in enumerate(facility.steps):
            first = element("span", "", at=f"step/{name}") if number_ == 0 else ""
            rows.append(
                row(
                    [
                        cell((first, escape(name))),
                        cell(clock.date_time(step.starts_at)),
                        number_cell(step.adjusted_kw, origin),
                        number_cell(step.metered_kw, origin),
                    ],
                    at=f"step/{name}/{rfc3339(step.starts_at)}",
                )
            )
    more = f'<p class="soft">{left} more steps are in the CSV statement.</p>' if left else ""
    columns = ["Facility", "Step", "#Baseline kW, adjusted", "#Metered kW"]
    said = f"Mean power of each step of {document.step_s} s. Delivered is baseline less metered. Times in {clock.name}."
    content = (table(columns, rows, caption=said), more) if rows else ""
    return section("The metering steps", content, at="steps")
