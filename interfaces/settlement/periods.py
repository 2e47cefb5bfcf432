"""The statement of a program's month or season, from read models and the stored documents."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from msgspec.structs import replace

from application.ports.settlement.documents import SettlementDocuments
from application.settlement.period_statement import (
    AgreedProgram,
    PeriodFigures,
    ProgramDREvent,
    RevisionInForce,
    period_figures,
    season_begin,
)
from application.settlement.shapes import ProgramInputs
from application.settlement.without_steps import read_without_steps
from domain.program import ProgramState, SettlementRule
from domain.settlement.period import Period, period_named
from interfaces.settlement.documents import DocumentMissing, stored_document, waits_for
from projections.dr_event.projection import DREventRow
from projections.facility import FacilityRow
from projections.facility import key_of as facility_key
from projections.queries.views import View, all_rows

MOST_DR_EVENTS = 400
"""Of a program in a season: more are refused."""
MOST_PARTS = 100_000
"""Facilities of the DR events of a statement over HTTP, counted in each: one takes 4 kB of memory."""
ROWS_AT_ONCE = 20
"""A row of a DR event over 10,000 facilities has megabytes."""
LONGEST_NOTICE = timedelta(days=400)
"""No DR event is notified longer before its start."""
LONGEST_PERIOD_MONTHS = 12
DAY = timedelta(days=1)


class PeriodTooLarge(ValueError):
    """The period has too many months, or its season too many DR events, or too many facilities in them."""


@dataclass(frozen=True, kw_only=True)
class PeriodSources:
    """`tenant` sees its own DR events only. `most_parts` None: as many as there are."""

    dr_events: View[DREventRow]
    facilities: View[FacilityRow]
    documents: SettlementDocuments
    tenant: str | None = None
    most_parts: int | None = None


def path_form(period: str) -> str:
    """The period as documents write it: a season, 2026-06/2026-09, is 2026-06_2026-09 in an address."""
    return period.replace("_", "/", 1)


def parsed_period(period: str) -> Period:
    """Raises InvalidPeriod or PeriodTooLarge."""
    found = period_named(period)
    if found.months > LONGEST_PERIOD_MONTHS:
        raise PeriodTooLarge(f"a statement has at most {LONGEST_PERIOD_MONTHS} months, got {found.months}")
    return found


def statement_of(
    sources: PeriodSources,
    program: ProgramState,
    period: str,
    *,
    now: datetime,
    facility_id: str | None = None,
) -> PeriodFigures:
    """`facility_id`: its own part alone. Raises InvalidPeriod, PeriodTooLarge, CurrenciesDiffer,
    SettlementDocumentDamaged, ReadModelsUnavailable or OperationsUnavailable."""
    parsed = parsed_period(period)
    rules = [one.settlement for one in program.versions.values() if one.settlement is not None]
    first = season_begin(parsed) if any(map(_counts_dr_events, rules)) else parsed.first
    rows = list(_rows(sources, program.program_id, first, parsed.last))
    enrolments = {}
    if any(map(_pays_with_period, rules)):
        enrolments = _enrolments(sources.facilities, program.program_id, _end_of(parsed.last, now))
    agreed = AgreedProgram(
        program_id=program.program_id,
        version=program.version,
        inputs=_newest_inputs(program),
        enrolments=enrolments,
    )
    dr_events = _dr_events(sources, rows)
    return period_figures(agreed, period, dr_events, now=now, facility_id=facility_id)


def _counts_dr_events(rule: SettlementRule) -> bool:
    return rule.capacity is not None and bool(rule.capacity.from_event)


def _pays_with_period(rule: SettlementRule) -> bool:
    return rule.capacity is not None and rule.capacity.unit in {"kw-day", "kw-month", "kw-season"}


def _newest_inputs(program: ProgramState) -> ProgramInputs | None:
    terms = program.terms
    if terms is None or terms.settlement is None:
        return None
    return ProgramInputs(
        program_id=program.program_id,
        version=program.version,
        baseline=terms.baseline,
        holidays=terms.holidays or (),
        settlement=terms.settlement,
    )


def _end_of(last: date, now: datetime) -> datetime:
    """Now, while the period runs."""
    return min(now, datetime.combine(last, time(), UTC) + DAY)


def _rows(sources: PeriodSources, program_id: str, first: date, last: date) -> Iterator[DREventRow]:
    """The accepted DR events that may begin, in any time zone, on those days, without their targets, which take most
    of a row's memory. Raises PeriodTooLarge."""
    begin, end = datetime.combine(first, time(), UTC) - DAY, datetime.combine(last, time(), UTC) + 2 * DAY
    cursor, found, parts = None, 0, 0
    while True:
        page = sources.dr_events.listed(
            filters={"program_id": program_id}, tenant=sources.tenant, cursor=cursor, limit=ROWS_AT_ONCE
        )
        for row in page.rows:
            if row.accepted_at is not None and row.starts_at is not None and begin <= row.starts_at < end:
                found, parts = found + 1, parts + max(len(row.facility_ids), len(row.targets))
                if found > MOST_DR_EVENTS:
                    raise PeriodTooLarge(
                        f"the program has more than {MOST_DR_EVENTS} DR events from {first} to {last}; ask for a month"
                    )
                if sources.most_parts is not None and parts > sources.most_parts:
                    raise PeriodTooLarge(
                        f"the program's DR events from {first} to {last} have more than {sources.most_parts} "
                        "facilities together; ask for a month, or the operator for `gridproof settlement statement`"
                    )
                yield replace(row, targets=())
        cursor = page.next_cursor
        if cursor is None or page.rows[-1].opened_at < begin - LONGEST_NOTICE:
            return


def _dr_events(sources: PeriodSources, rows: Iterable[DREventRow]) -> Iterator[ProgramDREvent]:
    found = list(rows)
    zones = _time_zones(sources.facilities, found)
    for row in found:
        if row.starts_at is None or row.ends_at is None:
            continue
        settlement, waits = _in_force(sources.documents, row)
        yield ProgramDREvent(
            dr_event_id=str(row.dr_event_id),
            utility_event_id=row.utility_event_id,
            kind=row.kind,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            tz=zones.get(_first_facility(row), "UTC"),
            facility_ids=row.facility_ids,
            waits_for=waits,
            settlement=settlement,
        )


def _in_force(documents: SettlementDocuments, row: DREventRow) -> tuple[RevisionInForce | None, str]:
    """The revision in force, or why the statement is without it: one missing document takes no other from it."""
    settlement, document = row.settlement, None
    if settlement is None:
        return None, waits_for(row)
    if settlement.digest is not None:
        try:
            document = read_without_steps(stored_document(documents, row, settlement))
        except DocumentMissing as error:
            return None, str(error)
    in_force = RevisionInForce(
        revision=settlement.revision,
        status=settlement.status,
        reasons=settlement.reasons,
        program_version=settlement.program_version,
        digest=settlement.digest,
        settled_at=settlement.settled_at,
        final_at=settlement.final_at,
        document=document,
    )
    return in_force, ""


def _first_facility(row: DREventRow) -> str:
    return min(row.facility_ids, default="")


def _time_zones(facilities: View[FacilityRow], rows: Iterable[DREventRow]) -> Mapping[str, str]:
    """Facility -> time zone, of the first facility of each DR event."""
    wanted = {_first_facility(row) for row in rows}
    found = facilities.by_key([facility_key(name) for name in sorted(wanted - {""})])
    return {row.facility_id: row.tz for row in found.values()}


def _enrolments(facilities: View[FacilityRow], program_id: str, at: datetime) -> dict[str, str]:
    """Facility -> kW that was enrolled in the program then."""
    return {
        row.facility_id: kw
        for row in all_rows(facilities)
        if (kw := row.enrolled_kw(program_id, at)) is not None
    }
