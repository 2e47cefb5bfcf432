"""Statements as CSV (RFC 4180): one header, comma, CRLF, UTF-8, dot decimals, times of RFC 3339.

A text that a spreadsheet would take for a formula gets an apostrophe before it.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from application.settlement.formula import rfc3339
from application.settlement.own_part import own_part, own_period
from application.settlement.shapes import (
    EventFacilityInputs,
    FacilityFigures,
    LineFigures,
    PeriodDocument,
    SettlementDocument,
)
from domain.program.settlement_rule import Results
from domain.settlement.facility_energy import committed_between, delivered_at_steps
from domain.settlement.inputs import StepWindow, facility_window
from domain.settlement.rounding import ENERGY_PLACES, decimal_text, of_thousandths

COLUMNS = (
    *("record", "dr_event_id", "revision", "unit", "facility_id", "starts_at", "ends_at"),
    *("committed_kw", "baseline_kw", "metered_kw", "delivered_kw", "counted_kw"),
    *("component", "quantity", "rate", "factor", "amount", "currency", "note"),
)
LIKE_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
Record = Mapping[str, object]


def statement_csv(
    document: SettlementDocument,
    *,
    facility: str | None = None,
    previous: SettlementDocument | None = None,
) -> str:
    """The records of one DR event: its steps, intervals, lines, facilities and total. `facility`: that one's own rows
    alone. Raises FacilityNotSettled."""
    if facility is not None:
        document = own_part(document, facility, previous)
    return _written(_of_event(document))


def month_csv(
    settlements: Sequence[SettlementDocument],
    capacities: Sequence[PeriodDocument],
    *,
    facility: str | None = None,
) -> str:
    """A month: the lines of each DR event, those of its capacity, what each facility gets, one total in each currency.
    `facility`: its own rows alone; every document must have a part of it."""
    if facility is not None:
        settlements = [own_part(document, facility) for document in settlements]
        capacities = [own_period(document, facility) for document in capacities]
    return _written(_of_month(settlements, capacities))


def _written(records: Iterable[Record]) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(name, record.get(name)) for name in COLUMNS] for record in records)
    return file.getvalue()


TEXTS = frozenset({"dr_event_id", "unit", "facility_id", "note"})


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return rfc3339(value)
    text = str(value)
    return f"'{text}" if name in TEXTS and text.startswith(LIKE_A_FORMULA) else text


def _of_event(document: SettlementDocument) -> Iterator[Record]:
    common = {"dr_event_id": document.dr_event_id, "revision": document.revision}
    for record in _figures(document):
        yield common | dict(record)
    for facility in document.facilities:
        yield common | dict(_facility_record(facility, document.currency))
    yield common | {"record": "total", "amount": document.total, "currency": document.currency}


def _figures(document: SettlementDocument) -> Iterator[Record]:
    """Steps, intervals and lines."""
    inputs = {entry.facility_id: entry for entry in document.inputs.dr_event.facilities}
    for facility in document.facilities:
        yield from _steps(document, facility, inputs[facility.facility_id])
    yield from _intervals(document)
    for line in document.lines:
        yield _line_record(line, document)


def _steps(
    document: SettlementDocument, facility: FacilityFigures, inputs: EventFacilityInputs
) -> Iterator[Record]:
    rule = document.inputs.program.settlement.of_kind(document.kind)
    whole = StepWindow(document.window_starts_at, document.window_ends_at, document.step_s)
    window = facility_window(whole, inputs, (rule.results or Results()).opted_out)
    delivered = delivered_at_steps(rule, inputs, window, facility.steps)
    for step, kw in zip(facility.steps, delivered, strict=True):
        ends_at = step.starts_at + whole.step
        yield {
            "record": "step",
            "facility_id": facility.facility_id,
            "starts_at": step.starts_at,
            "ends_at": ends_at,
            "committed_kw": decimal_text(
                committed_between(rule, inputs, step.starts_at, ends_at), ENERGY_PLACES
            ),
            "baseline_kw": step.adjusted_kw,
            "metered_kw": step.metered_kw,
            "delivered_kw": None if kw is None else decimal_text(of_thousandths(kw), ENERGY_PLACES),
        }


def _intervals(document: SettlementDocument) -> Iterator[Record]:
    """The intervals of the units; of a portfolio also each facility's part."""
    for unit in document.units:
        facility_id = None if document.level == "portfolio" else unit.unit
        for interval in unit.intervals:
            yield {
                "record": "interval",
                "unit": unit.unit,
                "facility_id": facility_id,
                "starts_at": interval.starts_at,
                "ends_at": interval.starts_at + timedelta(seconds=interval.seconds),
                "committed_kw": interval.committed_kw,
                "delivered_kw": interval.delivered_kw,
                "counted_kw": interval.counted_kw,
            }
    if document.level == "portfolio":
        for facility in document.facilities:
            for part in facility.intervals:
                yield {
                    "record": "interval",
                    "facility_id": facility.facility_id,
                    "starts_at": part.starts_at,
                    "ends_at": part.starts_at + timedelta(seconds=part.steps * document.step_s),
                    "committed_kw": part.committed_kw,
                    "delivered_kw": part.delivered_kw,
                    "note": f"{part.known_steps} of {part.steps} steps metered",
                }


def _line_record(line: LineFigures, document: SettlementDocument) -> Record:
    return {
        "record": "line",
        "unit": line.unit,
        "facility_id": None if document.level == "portfolio" else line.unit,
        "starts_at": document.window_starts_at,
        "ends_at": document.window_ends_at,
        "component": line.component,
        "quantity": line.quantity,
        "rate": line.rate,
        "factor": line.factor,
        "amount": line.amount,
        "currency": document.currency,
        "note": _note(line),
    }


def _note(line: LineFigures) -> str:
    return f"{line.note}: {line.formula}" if line.note else f"formula: {line.formula}"


def _facility_record(facility: FacilityFigures, currency: str) -> Record:
    state = "counted" if facility.counted else f"left out: {facility.reason}"
    return {
        "record": "facility",
        "facility_id": facility.facility_id,
        "amount": facility.gross,
        "currency": currency,
        "note": f"{state}; result {facility.result}; coverage {facility.coverage}; net {facility.net}",
    }


class _Sums(msgspec.Struct):
    """Gross and net of a facility over a month, in one currency."""

    gross: Decimal = Decimal(0)
    net: Decimal = Decimal(0)

    def add(self, gross: str, net: str) -> None:
        self.gross += Decimal(gross)
        self.net += Decimal(net)


def _of_month(
    settlements: Sequence[SettlementDocument], capacities: Sequence[PeriodDocument]
) -> Iterator[Record]:
    sums: dict[tuple[str, str], _Sums] = {}
    totals: dict[str, Decimal] = {}
    for document in settlements:
        for line in document.lines:
            yield dict(_line_record(line, document)) | {
                "dr_event_id": document.dr_event_id,
                "revision": document.revision,
            }
        for facility in document.facilities:
            sums.setdefault((document.currency, facility.facility_id), _Sums()).add(
                facility.gross, facility.net
            )
        totals[document.currency] = totals.get(document.currency, Decimal(0)) + Decimal(document.total)
    for capacity in capacities:
        for period_line in capacity.lines:
            yield {
                "record": "line",
                "unit": period_line.unit,
                "component": period_line.component,
                "quantity": period_line.quantity,
                "rate": period_line.rate,
                "factor": period_line.factor,
                "amount": period_line.amount,
                "currency": capacity.currency,
                "note": f"{capacity.period}, formula: {period_line.formula}",
            }
        for part in capacity.facilities:
            sums.setdefault((capacity.currency, part.facility_id), _Sums()).add(part.gross, part.net)
        totals[capacity.currency] = totals.get(capacity.currency, Decimal(0)) + Decimal(capacity.total)
    for (currency, facility_id), amounts in sorted(sums.items()):
        yield {
            "record": "facility",
            "facility_id": facility_id,
            "amount": f"{amounts.gross:f}",
            "currency": currency,
            "note": f"net {amounts.net:f}",
        }
    for currency, total in sorted(totals.items()):
        yield {"record": "total", "amount": f"{total:f}", "currency": currency}
