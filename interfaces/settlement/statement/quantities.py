"""Energy in a statement: by settlement interval, by facility, and what was left out."""

from collections.abc import Iterator
from datetime import timedelta
from html import escape

from application.settlement.formula import rfc3339
from application.settlement.shapes import (
    FacilityFigures,
    SettlementDocument,
    UnitFigures,
    UnitIntervalFigures,
)
from interfaces.settlement.statement.page import (
    Content,
    cell,
    element,
    number,
    number_cell,
    row,
    section,
    table,
    text_cell,
)
from interfaces.settlement.statement.words import Clock, plain, result_words

MOST_INTERVALS = 5_000
MOST_FACILITIES = 2_000
IN_THE_CSV = '<p class="soft">{left} more are in the CSV statement.</p>'


def interval_section(document: SettlementDocument, clock: Clock) -> Content:
    """The committed and delivered power of each unit in each settlement interval, with what the formulas use of it."""
    rows, left = list[Content](), 0
    for unit in document.units:
        if len(rows) + len(unit.intervals) > MOST_INTERVALS:
            left += len(unit.intervals)
            continue
        rows += [_interval(document, unit, interval, clock) for interval in unit.intervals]
        rows.append(_sums(unit))
    more = IN_THE_CSV.format(left=f"{left} intervals") if left else ""
    columns = ["Unit", "Interval", "#Committed kW", "#Delivered kW", "#Counted kW", "#Ratio"]
    said = f"Mean power of each interval; sums in kWh. Times in {clock.name}."
    content = (table(columns, rows, caption=said), more) if rows else ""
    return section("By hour", content, at="intervals")


def _interval(
    document: SettlementDocument, unit: UnitFigures, interval: UnitIntervalFigures, clock: Clock
) -> Content:
    place = f"unit/{unit.unit}/{rfc3339(interval.starts_at)}"
    ends_at = interval.starts_at + timedelta(seconds=interval.seconds)
    if document.level == "facility":
        committed = f"event/facilities/{unit.unit}"
        delivered = f"step/{unit.unit}/{rfc3339(interval.starts_at)}"
    else:
        committed = delivered = "facility-intervals"
    return row(
        [
            text_cell(unit.unit),
            cell(f"{clock.time(interval.starts_at)} to {clock.time(ends_at)}"),
            number_cell(interval.committed_kw, committed),
            number_cell(interval.delivered_kw, delivered),
            number_cell(interval.counted_kw, "rule/delivered"),
            number_cell(interval.performance, "rule/performance"),
        ],
        at=place,
    )


def _sums(unit: UnitFigures) -> Content:
    place = f"unit/{unit.unit}"
    committed = number(f"{unit.committed_kwh} kWh", f"{place}/intervals")
    counted = number(f"{unit.counted_kwh} kWh", f"{place}/intervals")
    hours = f"{unit.seconds // 3600} h" if unit.seconds % 3600 == 0 else f"{unit.seconds} s"
    return row(
        [
            text_cell(unit.unit),
            cell(element("strong", (number(hours, f"{place}/intervals"), " together"))),
            element("td", element("strong", committed), css="n"),
            cell(""),
            element("td", element("strong", counted), css="n"),
            number_cell(unit.performance, "rule/performance"),
        ],
        at=place,
    )


def facility_interval_section(document: SettlementDocument, clock: Clock) -> Content:
    """In a portfolio, each facility's part of each interval. At level `facility`, the units say it."""
    if document.level == "facility":
        return ""
    rows, left = list[Content](), 0
    for facility in document.facilities:
        if len(rows) + len(facility.intervals) > MOST_INTERVALS:
            left += len(facility.intervals)
            continue
        name = facility.facility_id
        for interval in facility.intervals:
            at = rfc3339(interval.starts_at)
            rows.append(
                row(
                    [
                        text_cell(name),
                        cell(clock.time(interval.starts_at)),
                        number_cell(f"{interval.known_steps} of {interval.steps}", f"step/{name}/{at}"),
                        number_cell(interval.committed_kw, f"event/facilities/{name}"),
                        number_cell(interval.delivered_kw, f"step/{name}/{at}"),
                    ],
                    at=f"facility/{name}/{at}",
                )
            )
    more = IN_THE_CSV.format(left=f"{left} intervals") if left else ""
    columns = ["Facility", "Interval from", "#Steps metered", "#Committed kW", "#Delivered kW"]
    said = f"Mean power of each facility in each interval. Times in {clock.name}."
    content = (table(columns, rows, caption=said), more) if rows else ""
    return section("By hour and facility", content, at="facility-intervals")


def facility_section(document: SettlementDocument) -> Content:
    shown = document.facilities[:MOST_FACILITIES]
    rows = [_facility(document, facility) for facility in shown]
    left = len(document.facilities) - len(shown)
    columns = [
        *("Facility", "Result", "#Coverage", "#Committed kWh", "#Delivered kWh", "#Short kWh", "#Ratio"),
        *(f"#Gross, {document.currency}", f"#Net, {document.currency}"),
    ]
    share = document.inputs.program.settlement.of_kind(document.kind).share
    said = (
        f"Gross is the facility's part of the lines, net is {share} of it, line by line. "
        "Of a facility that is left out, nothing counts."
    )
    more = IN_THE_CSV.format(left=f"{left} facilities") if left else ""
    content = (table(columns, rows, caption=said), more) if rows else ""
    return section("By facility", content, at="facilities")


def _facility(document: SettlementDocument, facility: FacilityFigures) -> Content:
    name = facility.facility_id
    lines = f"line/{name}" if document.level == "facility" else "lines"
    committed = f"event/facilities/{name}"
    return row(
        [
            text_cell(name),
            cell(
                escape(result_words(facility.result))
                + ("" if facility.counted else ', <span class="minus">left out</span>')
            ),
            number_cell(facility.coverage, f"step/{name}"),
            number_cell(facility.committed_kwh, committed),
            number_cell(facility.delivered_kwh, f"step/{name}"),
            number_cell(facility.shortfall_kwh, f"unit/{name}"),
            number_cell(facility.performance, f"unit/{name}"),
            number_cell(facility.gross, lines),
            number_cell(facility.net, "rule/share"),
        ],
        at=f"facility/{name}",
    )


def left_out(document: SettlementDocument, clock: Clock) -> Content:
    """A list; empty where everything counts."""
    items = [element("li", reason) for reason in _left_out(document, clock)]
    return element("ul", items) if items else ""


def _left_out(document: SettlementDocument, clock: Clock) -> Iterator[Content]:
    if document.reasons:
        yield "The DR event is not settled: " + escape("; ".join(map(plain, document.reasons)))
    for facility in document.facilities[:MOST_FACILITIES]:
        if facility.reason is not None:
            baseline = facility.baseline
            more = f" ({escape(baseline.impossible)})" if baseline is not None and baseline.impossible else ""
            yield f"{escape(facility.facility_id)}: {escape(plain(facility.reason))}{more}"
            continue
        empty = [interval for interval in facility.intervals if interval.delivered_kw is None]
        if empty:
            times = ", ".join(clock.time(interval.starts_at) for interval in empty)
            yield f"{escape(facility.facility_id)}: nothing was metered in the intervals from {times}"
        missing = sum(interval.steps - interval.known_steps for interval in facility.intervals)
        if missing:
            steps = number(f"{missing} steps", f"step/{facility.facility_id}")
            said = " were not metered; the known ones of an interval stand for it"
            yield f"{escape(facility.facility_id)}: ", steps, said
