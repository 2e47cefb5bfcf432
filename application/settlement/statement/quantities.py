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
from application.settlement.statement.page import (
    cell,
    number,
    number_cell,
    row,
    section,
    table,
    text_cell,
)
from application.settlement.statement.words import Clock, plain, result_words

MOST_INTERVALS = 5_000
MOST_FACILITIES = 2_000
IN_THE_CSV = '<p class="soft">{left} more are in the CSV statement.</p>'


def interval_section(document: SettlementDocument, clock: Clock) -> str:
    """What each unit committed and delivered in each settlement interval, with what the formulas use of it."""
    rows, left = list[str](), 0
    for unit in document.units:
        if len(rows) + len(unit.intervals) > MOST_INTERVALS:
            left += len(unit.intervals)
            continue
        rows += [_interval(document, unit, one, clock) for one in unit.intervals]
        rows.append(_sums(unit))
    more = IN_THE_CSV.format(left=f"{left} intervals") if left else ""
    columns = ["Unit", "Interval", "#Committed kW", "#Delivered kW", "#Counted kW", "#Ratio"]
    said = f"Mean power of each interval; sums in kWh. Times in {clock.name}."
    content = table(columns, rows, caption=said) + more if rows else ""
    return section("By hour", content, at="intervals")


def _interval(document: SettlementDocument, unit: UnitFigures, one: UnitIntervalFigures, clock: Clock) -> str:
    place = f"unit/{unit.unit}/{rfc3339(one.starts_at)}"
    ends_at = one.starts_at + timedelta(seconds=one.seconds)
    if document.level == "facility":
        committed = f"event/facilities/{unit.unit}"
        delivered = f"step/{unit.unit}/{rfc3339(one.starts_at)}"
    else:
        committed = delivered = "facility-intervals"
    return row(
        [
            text_cell(unit.unit),
            cell(f"{clock.time(one.starts_at)} to {clock.time(ends_at)}"),
            number_cell(one.committed_kw, committed),
            number_cell(one.delivered_kw, delivered),
            number_cell(one.counted_kw, "rule/delivered"),
            number_cell(one.performance, "rule/performance"),
        ],
        at=place,
    )


def _sums(unit: UnitFigures) -> str:
    place = f"unit/{unit.unit}"
    committed = number(f"{unit.committed_kwh} kWh", f"{place}/intervals")
    counted = number(f"{unit.counted_kwh} kWh", f"{place}/intervals")
    hours = f"{unit.seconds // 3600} h" if unit.seconds % 3600 == 0 else f"{unit.seconds} s"
    return row(
        [
            text_cell(unit.unit),
            cell(f"<strong>{number(hours, f'{place}/intervals')} together</strong>"),
            f'<td class="n"><strong>{committed}</strong></td>',
            "<td></td>",
            f'<td class="n"><strong>{counted}</strong></td>',
            number_cell(unit.performance, "rule/performance"),
        ],
        at=place,
    )


def facility_interval_section(document: SettlementDocument, clock: Clock) -> str:
    """Of a portfolio: each facility's part of each interval. At level `facility`, the units say it."""
    if document.level == "facility":
        return ""
    rows, left = list[str](), 0
    for facility in document.facilities:
        if len(rows) + len(facility.intervals) > MOST_INTERVALS:
            left += len(facility.intervals)
            continue
        name = facility.facility_id
        for one in facility.intervals:
            at = rfc3339(one.starts_at)
            rows.append(
                row(
                    [
                        text_cell(name),
                        cell(clock.time(one.starts_at)),
                        number_cell(f"{one.known_steps} of {one.steps}", f"step/{name}/{at}"),
                        number_cell(one.committed_kw, f"event/facilities/{name}"),
                        number_cell(one.delivered_kw, f"step/{name}/{at}"),
                    ],
                    at=f"facility/{name}/{at}",
                )
            )
    more = IN_THE_CSV.format(left=f"{left} intervals") if left else ""
    columns = ["Facility", "Interval from", "#Steps metered", "#Committed kW", "#Delivered kW"]
    said = f"Mean power of each facility in each interval. Times in {clock.name}."
    content = table(columns, rows, caption=said) + more if rows else ""
    return section("By hour and facility", content, at="facility-intervals")


def facility_section(document: SettlementDocument) -> str:
    shown = document.facilities[:MOST_FACILITIES]
    rows = [_facility(document, one) for one in shown]
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
    return section("By facility", table(columns, rows, caption=said) + more if rows else "", at="facilities")


def _facility(document: SettlementDocument, one: FacilityFigures) -> str:
    name = one.facility_id
    lines = f"line/{name}" if document.level == "facility" else "lines"
    committed = f"event/facilities/{name}"
    return row(
        [
            text_cell(name),
            cell(
                escape(result_words(one.result))
                + ("" if one.counted else ', <span class="minus">left out</span>')
            ),
            number_cell(one.coverage, f"step/{name}"),
            number_cell(one.committed_kwh, committed),
            number_cell(one.delivered_kwh, f"step/{name}"),
            number_cell(one.shortfall_kwh, f"unit/{name}"),
            number_cell(one.performance, f"unit/{name}"),
            number_cell(one.gross, lines),
            number_cell(one.net, "rule/share"),
        ],
        at=f"facility/{name}",
    )


def left_out(document: SettlementDocument, clock: Clock) -> str:
    """A list; empty where everything counts."""
    items = "".join(f"<li>{one}</li>" for one in _left_out(document, clock))
    return f"<ul>{items}</ul>" if items else ""


def _left_out(document: SettlementDocument, clock: Clock) -> Iterator[str]:
    if document.reasons:
        yield "The DR event is not settled: " + escape("; ".join(map(plain, document.reasons)))
    for facility in document.facilities[:MOST_FACILITIES]:
        if facility.reason is not None:
            baseline = facility.baseline
            more = f" ({escape(baseline.impossible)})" if baseline is not None and baseline.impossible else ""
            yield f"{escape(facility.facility_id)}: {escape(plain(facility.reason))}{more}"
            continue
        empty = [one for one in facility.intervals if one.delivered_kw is None]
        if empty:
            times = ", ".join(clock.time(one.starts_at) for one in empty)
            yield f"{escape(facility.facility_id)}: nothing was metered in the intervals from {times}"
        missing = sum(one.steps - one.known_steps for one in facility.intervals)
        if missing:
            steps = number(f"{missing} steps", f"step/{facility.facility_id}")
            yield (
                f"{escape(facility.facility_id)}: {steps} were not metered; the known ones of an interval stand for it"
            )
