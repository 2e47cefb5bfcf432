"""The statement of a month or season: one row for each DR event, then the capacity, and the total.

It is computed from the stored documents in force, and is provisional while one of them may still change.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from application.settlement.own_part import FacilityNotSettled, own_part, own_period
from application.settlement.period import period_document
from application.settlement.shapes import (
    PeriodDocument,
    PeriodFacilityFigures,
    ProgramInputs,
    SettlementDocument,
)
from domain.settlement.period import Period, local_start_day, period_named

ProvisionalReason = Literal["period_not_over", "not_settled_yet", "not_final"]
NOTHING = Decimal(0)
PROVISIONAL: dict[ProvisionalReason, str] = {
    "period_not_over": "the period is not over",
    "not_settled_yet": "a DR event of it is not settled yet",
    "not_final": "a DR event of it can still be settled again",
}


class CurrenciesDiffer(ValueError):
    """The DR events of a period were settled in more than one currency: their amounts have no sum."""


class RevisionInForce(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a settlement in the log. `document` None: nothing could be computed, and `reasons` say why."""

    revision: int
    status: Literal["settled", "not_settled"]
    reasons: tuple[str, ...]
    program_version: int
    digest: str | None
    settled_at: datetime
    final_at: datetime | None
    document: SettlementDocument | None


class ProgramDREvent(msgspec.Struct, frozen=True, kw_only=True):
    """A DR event of a program. `tz`: of its first facility. `settlement` None: `waits_for` says for what."""

    dr_event_id: str
    utility_event_id: str
    kind: str
    starts_at: datetime
    ends_at: datetime
    tz: str
    facility_ids: Collection[str] = ()
    """Those that were asked for."""
    waits_for: str = ""
    settlement: RevisionInForce | None = None

    @property
    def local_day(self) -> date:
        """The day on which it began, which decides on the period that it belongs to."""
        if self.settlement is not None and self.settlement.document is not None:
            return local_start_day(self.settlement.document.inputs.dr_event)
        return self.starts_at.astimezone(ZoneInfo(self.tz)).date()


class StatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """A DR event of the period. `total` None: it is not settled yet, or cannot be."""

    dr_event_id: str
    utility_event_id: str
    kind: str
    starts_at: datetime
    ends_at: datetime
    status: Literal["settled", "not_settled", "not_settled_yet"]
    reasons: tuple[str, ...] = ()
    """Why nothing is settled."""
    waits_for: str = ""
    """What a settlement waits for."""
    revision: int | None = None
    program_version: int | None = None
    performance: str | None = None
    total: str | None = None
    """In a facility's statement its own gross."""
    net: str | None = None
    """Of the facility, in its own statement."""
    digest: str | None = None
    """SHA-256 (hex) of the document."""
    settled_at: datetime | None = None
    final_at: datetime | None = None
    """No resettlement after this moment."""


class PeriodStatement(msgspec.Struct, frozen=True, kw_only=True):
    """A program's month or season; of one facility its own part alone."""

    schema: Literal["period-statement/1"] = "period-statement/1"
    period: str
    program_id: str
    program_version: int
    """The version whose rule the capacity follows."""
    facility_id: str | None = None
    """None: of the whole."""
    currency: str | None
    """None: the program has no settlement rule."""
    minor_unit: int
    provisional: bool
    provisional_because: tuple[ProvisionalReason, ...]
    dr_events: tuple[StatementRow, ...]
    """In the order of their starts."""
    dr_events_total: str
    capacity: PeriodDocument | None
    """None: the program pays none with the period."""
    capacity_total: str
    total: str
    net: str | None = None
    """Of the facility, in its own statement."""
    facilities: tuple[PeriodFacilityFigures, ...]
    """What each gets of DR events and capacity together."""


class PeriodFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A statement, and the documents behind it, for its page and its records."""

    statement: PeriodStatement
    documents: tuple[SettlementDocument, ...]
    capacities: tuple[PeriodDocument, ...]


class AgreedProgram(msgspec.Struct, frozen=True, kw_only=True):
    """The program as it is agreed now, for a period without a settled DR event. `inputs` None: it has no rule."""

    program_id: str
    version: int
    inputs: ProgramInputs | None
    enrolments: dict[str, str] = {}
    """Facility -> kW that was enrolled at the end of the period."""


def period_figures(
    program: AgreedProgram,
    period: str,
    dr_events: Iterable[ProgramDREvent],
    *,
    now: datetime,
    facility_id: str | None = None,
) -> PeriodFigures:
    """`dr_events`: those of the season so far, of any period. `facility_id`: its own part alone.

    The capacity follows the rule of the last settled DR event of the period; without one that of the newest version.
    Raises InvalidPeriod or CurrenciesDiffer.
    """
    parsed, of_season = (
        period_named(period),
        sorted(dr_events, key=lambda one: (one.starts_at, one.dr_event_id)),
    )
    inside = [one for one in of_season if parsed.contains(one.local_day)]
    whole, earlier = list(_documents(inside)), list(_documents(of_season))
    inputs = whole[-1].inputs.program if whole else program.inputs
    capacity = None
    if inputs is not None:
        inputs = replace(inputs, enrolments=program.enrolments)
        capacity = period_document(inputs, period, earlier)
        capacity = capacity if capacity.lines else None
    _check_currencies([*whole, *([] if capacity is None else [capacity])])
    if facility_id is not None:
        inside = list(_own(inside, facility_id))
        capacity = None if capacity is None else own_period(capacity, facility_id)
    documents = tuple(_documents(inside))
    statement = _statement(
        program,
        period,
        inside,
        capacity,
        inputs,
        because=_provisional(parsed, inside, now),
        facility_id=facility_id,
    )
    return PeriodFigures(
        statement=statement, documents=documents, capacities=() if capacity is None else (capacity,)
    )


def notes_of(statement: PeriodStatement) -> list[str]:
    """Notes that a reader of the statement has to know beside its amounts."""
    notes = []
    if statement.provisional:
        because = "; ".join(PROVISIONAL[one] for one in statement.provisional_because)
        notes.append(f"{statement.program_id}, {statement.period}: provisional, because {because}.")
    for row in statement.dr_events:
        if row.status == "not_settled_yet":
            notes.append(f"DR event {row.dr_event_id} is not in the total: {row.waits_for}.")
        elif row.digest is None:
            why = ", ".join(row.reasons).replace("_", " ")
            notes.append(f"DR event {row.dr_event_id} is not in the total: it is not settled ({why}).")
    return notes


def season_begin(period: Period) -> date:
    """DR events are counted from the first day of the year in which the period begins."""
    return period.first.replace(month=1, day=1)


def _documents(dr_events: Iterable[ProgramDREvent]) -> Iterator[SettlementDocument]:
    for one in dr_events:
        if one.settlement is not None and one.settlement.document is not None:
            yield one.settlement.document


def _own(dr_events: Iterable[ProgramDREvent], facility_id: str) -> Iterator[ProgramDREvent]:
    """The documents in which the facility has a part, with that part; one without a document, if the facility was asked
    for."""
    for one in dr_events:
        found = one.settlement
        if found is None or found.document is None:
            if facility_id in one.facility_ids:
                yield one
            continue
        try:
            part = own_part(found.document, facility_id)
        except FacilityNotSettled:
            continue
        yield replace(one, settlement=replace(found, status=part.status, reasons=part.reasons, document=part))


def _check_currencies(documents: Sequence[SettlementDocument | PeriodDocument]) -> None:
    currencies = sorted({one.currency for one in documents})
    if len(currencies) > 1:
        raise CurrenciesDiffer(
            f"the period has amounts in {' and '.join(currencies)}, which are not added; see each DR event's settlement"
        )


def _provisional(
    period: Period, dr_events: Iterable[ProgramDREvent], now: datetime
) -> tuple[ProvisionalReason, ...]:
    found: dict[ProvisionalReason, None] = {}
    if now.date() <= period.last:
        found["period_not_over"] = None
    for one in dr_events:
        if one.settlement is None:
            found["not_settled_yet"] = None
        elif one.settlement.final_at is None or one.settlement.final_at > now:
            found["not_final"] = None
    return tuple(found)


def _statement(
    program: AgreedProgram,
    period: str,
    dr_events: Sequence[ProgramDREvent],
    capacity: PeriodDocument | None,
    inputs: ProgramInputs | None,
    *,
    because: tuple[ProvisionalReason, ...],
    facility_id: str | None,
) -> PeriodStatement:
    minor_unit = 2 if inputs is None else inputs.settlement.minor_unit
    rows = tuple(_row(one, own=facility_id is not None) for one in dr_events)
    of_dr_events = sum((Decimal(row.total) for row in rows if row.total is not None), NOTHING)
    of_capacity = NOTHING if capacity is None else Decimal(capacity.total)
    facilities = _facilities(list(_documents(dr_events)), capacity, minor_unit)
    own = {one.facility_id: one for one in facilities}.get(facility_id or "")
    return PeriodStatement(
        period=period,
        program_id=program.program_id,
        program_version=program.version if inputs is None else inputs.version,
        facility_id=facility_id,
        currency=None if inputs is None else inputs.settlement.currency,
        minor_unit=minor_unit,
        provisional=bool(because),
        provisional_because=because,
        dr_events=rows,
        dr_events_total=_money(of_dr_events, minor_unit),
        capacity=capacity,
        capacity_total=_money(of_capacity, minor_unit),
        total=_money(of_dr_events + of_capacity, minor_unit),
        net=None if facility_id is None else _money(NOTHING, minor_unit) if own is None else own.net,
        facilities=facilities,
    )


def _row(dr_event: ProgramDREvent, *, own: bool) -> StatementRow:
    row = StatementRow(
        dr_event_id=dr_event.dr_event_id,
        utility_event_id=dr_event.utility_event_id,
        kind=dr_event.kind,
        starts_at=dr_event.starts_at,
        ends_at=dr_event.ends_at,
        status="not_settled_yet",
        waits_for=dr_event.waits_for,
    )
    if (found := dr_event.settlement) is None:
        return row
    document = found.document
    return replace(
        row,
        status=found.status,
        reasons=found.reasons,
        revision=found.revision,
        program_version=found.program_version,
        performance=None if document is None else document.performance,
        total=None if document is None or found.status == "not_settled" else document.total,
        net=document.facilities[0].net if own and document is not None else None,
        digest=found.digest,
        settled_at=found.settled_at,
        final_at=found.final_at,
    )


def _facilities(
    documents: Sequence[SettlementDocument], capacity: PeriodDocument | None, minor_unit: int
) -> tuple[PeriodFacilityFigures, ...]:
    gross: dict[str, Decimal] = {}
    net: dict[str, Decimal] = {}
    parts = [(one.facility_id, one.gross, one.net) for document in documents for one in document.facilities]
    if capacity is not None:
        parts += [(one.facility_id, one.gross, one.net) for one in capacity.facilities]
    for name, its_gross, its_net in parts:
        gross[name] = gross.get(name, NOTHING) + Decimal(its_gross)
        net[name] = net.get(name, NOTHING) + Decimal(its_net)
    return tuple(
        PeriodFacilityFigures(
            facility_id=name, gross=_money(gross[name], minor_unit), net=_money(net[name], minor_unit)
        )
        for name in sorted(gross)
    )


def _money(amount: Decimal, minor_unit: int) -> str:
    return f"{amount:.{minor_unit}f}"
