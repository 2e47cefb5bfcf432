"""Where the numbers of a statement come from: the rule, the DR event, the baselines, the metering steps."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec

from application.settlement.formula import rfc3339
from application.settlement.rule_words import words_of
from application.settlement.shapes import AdjustmentSummary, BaselineSummary, SettlementDocument
from application.settlement.statement.page import (
    NOTHING,
    anchor,
    cell,
    fields,
    number,
    number_cell,
    row,
    section,
    table,
    text_cell,
)
from application.settlement.statement.words import Clock

MOST_STEPS = 5_000
MOST_FACILITIES = 2_000


def origin_sections(
    document: SettlementDocument, clock: Clock, measurement_path: str | None = None
) -> Iterator[str]:
    """`measurement_path`: address of how a facility was measured, with `{}` for its id."""
    yield _rule(document)
    yield _event(document, clock)
    yield _measurements(document, measurement_path)
    yield _steps(document, clock)


def _rule(document: SettlementDocument) -> str:
    rule = document.inputs.program.settlement
    words = "".join(f"<li>{escape(said)}</li>" for said in words_of(rule))
    members = msgspec.to_builtins(rule.of_kind(document.kind))
    kinds = members.pop("kinds", None)
    shown = _fields(members, "")
    groups = {path.split(".")[0] for path, _ in _members(members, "") if "." in path}
    targets = "".join(f'<span id="{anchor(f"rule/{name}")}"></span>' for name in sorted(groups))
    others = f'<p class="faint">Other kinds of DR event: {escape(", ".join(kinds))}.</p>' if kinds else ""
    said = f'<p class="faint">The members of the rule for DR events of kind {escape(document.kind)}:</p>'
    recorded = _recorded(document.origins.get("program"))
    content = f"<ul>{words}</ul>{said}{targets}{shown}{others}{recorded}"
    return section(
        f"The rule: program {document.program_id}, version {document.program_version}",
        f'<div id="program">{content}</div>',
        at="rule",
    )


def rule_fields(member: msgspec.Struct | None, path: str) -> str:
    """A member of a rule, each of its own with its path."""
    return "" if member is None else _fields(msgspec.to_builtins(member), path)


def _fields(members: Mapping[str, Any], path: str) -> str:
    return fields(((name, escape(str(value))) for name, value in _members(members, path)), at="rule")


def _members(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, object]]:
    """The paths of a rule that are set, with their values; tiers one by one."""
    for name, one in value.items():
        here = f"{path}.{name}" if path else name
        if isinstance(one, dict):
            yield from _members(one, here)
        elif isinstance(one, list | tuple):
            for number_, entry in enumerate(one):
                yield f"{here}[{number_}]", ", ".join(f"{key} {part}" for key, part in entry.items())
        elif one is not None:
            yield here, one


def _recorded(domain_event_id: str | None) -> str:
    """The domain event that recorded it, as a target of links."""
    if domain_event_id is None:
        return ""
    place = f"domain-event/{domain_event_id}"
    shown = number(domain_event_id, place)
    return f'<p class="faint" id="{anchor(place)}">Recorded by domain event {shown}</p>'


def _event(document: SettlementDocument, clock: Clock) -> str:
    dr_event = document.inputs.dr_event
    origin = document.origins.get("event")
    place = "event" if origin is None else f"domain-event/{origin}"
    rows = []
    for facility in dr_event.facilities[:MOST_FACILITIES]:
        committed = ", ".join(
            f"{clock.date_time(one.from_)}: {number(f'{one.kw} kW', place)}" for one in facility.commitments
        )
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
    content = table(columns, rows, caption="What was committed") if rows else ""
    if prices:
        content += table(
            ["Interval", f"#{document.currency} per kWh"], prices, caption="Prices of the DR event"
        )
    return section("The DR event", content + _recorded(origin), at="event")


def _moment(moment: Any, clock: Clock) -> str:
    return NOTHING if moment is None else clock.date_time(moment)


def _measurements(document: SettlementDocument, path: str | None) -> str:
    rows = [
        _measurement(one.facility_id, one.baseline, path)
        for one in document.facilities[:MOST_FACILITIES]
        if one.baseline is not None
    ]
    columns = ["Facility", "Method", "Days", "Adjustment", "Domain event"]
    said = "What the baseline of each facility was computed from"
    content = table(columns, rows, caption=said) if rows else '<p class="soft">Given with the readings.</p>'
    return section("The baselines", content, at="measurements")


def _measurement(facility_id: str, found: BaselineSummary, path: str | None) -> str:
    recorded = NOTHING
    if found.domain_event_id is not None:
        place = f"domain-event/{found.domain_event_id}"
        shown = number(found.domain_event_id, place)
        if path is not None:
            address = path.format(quote(facility_id, safe=""))
            shown = f'<a href="{escape(address)}" data-origin="{place}">{escape(found.domain_event_id)}</a>'
        recorded = f'<span id="{anchor(place)}">{shown}</span>'
    return row(
        [
            text_cell(facility_id),
            text_cell(found.method),
            text_cell(found.impossible or ", ".join(day.isoformat() for day in found.days) or "-"),
            text_cell(_adjustment(found.adjustment)),
            cell(recorded),
        ],
        at=f"measurement/{facility_id}",
    )


def _adjustment(found: AdjustmentSummary | None) -> str:
    if found is None or found.value is None:
        return "none"
    value = f"{found.value:.4f}" if found.kind == "multiplicative" else f"{found.value:+.3f} kW"
    at_bound = ", at its bound" if found.clipped else ""
    compared = (
        ""
        if found.metered_kw is None or found.baseline_kw is None
        else f"; {found.metered_kw:.3f} kW metered against {found.baseline_kw:.3f} kW before the start"
    )
    return f"{found.kind} {value}{at_bound}{compared}"


def _steps(document: SettlementDocument, clock: Clock) -> str:
    """One row for each metering step. The ids of a facility and of its intervals lead to the first row of each."""
    rows, left = list[str](), 0
    for facility in document.facilities:
        if len(rows) + len(facility.steps) > MOST_STEPS:
            left += len(facility.steps)
            continue
        name = facility.facility_id
        recorded = None if facility.baseline is None else facility.baseline.domain_event_id
        origin = f"measurement/{name}" if recorded is None else f"domain-event/{recorded}"
        for number_, step in enumerate(facility.steps):
            first = f'<span id="{anchor(f"step/{name}")}"></span>' if number_ == 0 else ""
            rows.append(
                row(
                    [
                        cell(first + escape(name)),
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
    return section(
        "The metering steps", table(columns, rows, caption=said) + more if rows else "", at="steps"
    )
