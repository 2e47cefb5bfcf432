"""Import of a portfolio: utilities, programs and facilities, each as its entry states it.

What the portfolio changes is found out first, and recorded before it is changed: the references to the secrets of
utilities stand in a table, and no other domain event says who changed them.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext, provenance_of
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import FacilityEntry, Portfolio, UtilityEntry
from application.operations.portfolio_difference import (
    PortfolioDifference,
    facility_change,
    program_change,
)
from application.ports.clock import Clock
from application.ports.event_store.event_store import EventStreams, StreamNotFound
from application.ports.facility import FacilityCoordinates, Utilities
from application.ports.operations.act_log import ActLog
from domain.administration import AdministrativeAct, UtilityChange
from domain.facility import Coordinates, Facility, FacilityState
from domain.identifiers import NAMESPACE
from domain.program import Program


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """An import. Importing the same portfolio again changes nothing."""

    utilities: int
    """Of the portfolio, changed or not; so are programs and facilities."""
    programs: int
    facilities: int
    domain_events: int
    """Recorded for programs and facilities; 0 where nothing changed."""
    dry_run: bool
    """Nothing was recorded: `domain_events` and `changes` are what an import would record."""
    changes: PortfolioDifference


class PortfolioTarget(NamedTuple):
    """The target of an import, and where it is recorded."""

    bus: CommandBus
    utilities: Utilities
    coordinates: FacilityCoordinates
    acts: ActLog
    clock: Clock
    """The one for decisions."""
    streams: EventStreams
    """What is recorded of a facility, for the difference."""


def entries_of(portfolio: Portfolio) -> int:
    """Utilities, programs and facilities together."""
    return len(portfolio.utilities) + len(portfolio.programs) + len(portfolio.facilities)


def import_portfolio(
    portfolio: Portfolio,
    target: PortfolioTarget,
    *,
    file_sha256: str | None,
    actor: str,
    trace_id: str,
    progress: Callable[[int], None] = lambda done: None,
) -> ImportReport:
    """`progress` is called with the number of entries done, of `entries_of(portfolio)`. Raises the errors of the bus,
    of the register of utilities and of the record of acts. What was changed until then stays, and the import can be
    repeated."""
    at = target.clock.now()
    correlation_id = uuid5(NAMESPACE, f"import:{at.isoformat()}:{trace_id}")
    context = _context(correlation_id, actor, trace_id)
    changes = _difference(portfolio, target, context)
    changed_programs = {one.program_id for one in changes.programs}
    changed_facilities = {one.facility_id for one in changes.facilities}
    if changes:
        _begin(portfolio, changes, target, context, at=at, file_sha256=file_sha256)
    before = len(portfolio.utilities)
    progress(before)
    for done, program in enumerate(portfolio.programs, start=before + 1):
        if program.program_id in changed_programs:
            target.bus.handle(AgreeProgram(entry=program), context)
        progress(done)
    target.coordinates.put(given_coordinates(portfolio.facilities))
    recorded = changes.program_events
    before += len(portfolio.programs)
    for done, facility in enumerate(portfolio.facilities, start=before + 1):
        if facility.facility_id in changed_facilities:
            command = RegisterFacility(entry=facility)
            recorded += target.bus.handle(command, context, reply_type=int)
        progress(done)
    if changes:
        _end(changes, target, context)
    return _report(portfolio, changes, recorded, dry_run=False)


def rehearse_import(
    portfolio: Portfolio, target: PortfolioTarget, *, actor: str, trace_id: str
) -> ImportReport:
    """The changes that `import_portfolio` would make now. Nothing is recorded. Raises the errors of the bus and of the
    register of utilities."""
    changes = _difference(
        portfolio, target, _context(uuid5(NAMESPACE, f"import:{trace_id}"), actor, trace_id)
    )
    recorded = changes.program_events + sum(len(one.domain_events) for one in changes.facilities)
    return _report(portfolio, changes, recorded, dry_run=True)


def _report(
    portfolio: Portfolio, changes: PortfolioDifference, recorded: int, *, dry_run: bool
) -> ImportReport:
    return ImportReport(
        utilities=len(portfolio.utilities),
        programs=len(portfolio.programs),
        facilities=len(portfolio.facilities),
        domain_events=recorded,
        dry_run=dry_run,
        changes=changes,
    )


def given_coordinates(entries: Iterable[FacilityEntry]) -> dict[str, Coordinates]:
    """The coordinates that the entries name, by facility."""
    given = ((one.facility_id, one.latitude, one.longitude) for one in entries)
    return {
        facility_id: Coordinates(latitude, longitude)
        for facility_id, latitude, longitude in given
        if latitude is not None and longitude is not None
    }


def _begin(
    portfolio: Portfolio,
    changes: PortfolioDifference,
    target: PortfolioTarget,
    context: CommandContext,
    *,
    at: datetime,
    file_sha256: str | None,
) -> None:
    """Record the beginning, in one transaction with the utilities."""
    act = AdministrativeAct.begin_portfolio_import(
        provenance_of(context, at),
        file_sha256=file_sha256,
        utilities=changes.utilities,
        programs_changed=len(changes.programs),
        facilities_changed=len(changes.facilities),
    )
    target.utilities.keep(portfolio.utilities, at=at, act=act)


def _end(changes: PortfolioDifference, target: PortfolioTarget, context: CommandContext) -> None:
    act = AdministrativeAct.import_portfolio(
        provenance_of(context, target.clock.now()),
        utilities=len(changes.utilities),
        programs=len(changes.programs),
        facilities=len(changes.facilities),
    )
    target.acts.record([act])


def _difference(
    portfolio: Portfolio, target: PortfolioTarget, context: CommandContext
) -> PortfolioDifference:
    known = {entry.utility_id: entry for entry in target.utilities.listed()}
    utilities = [_utility_change(entry, known.get(entry.utility_id)) for entry in portfolio.utilities]
    programs = [
        one
        for entry in portfolio.programs
        for one in target.bus.rehearse(AgreeProgram(entry=entry), context).aggregates
        if isinstance(one, Program) and one.pending_events
    ]
    facilities = [
        facility_change(one, _recorded(one, target.streams))
        for entry in portfolio.facilities
        for one in target.bus.rehearse(RegisterFacility(entry=entry), context).aggregates
        if isinstance(one, Facility) and one.pending_events
    ]
    return PortfolioDifference(
        utilities=tuple(one for one in utilities if one.is_new or one.changed),
        programs=tuple(map(program_change, programs)),
        facilities=tuple(facilities),
        program_events=sum(len(one.pending_events) for one in programs),
    )


def _recorded(facility: Facility, streams: EventStreams) -> FacilityState | None:
    """The state without the domain events that are not saved yet; None: it is new."""
    try:
        return streams.load(Facility, facility.id).state
    except StreamNotFound:
        return None


def _utility_change(entry: UtilityEntry, known: UtilityEntry | None) -> UtilityChange:
    before = known or UtilityEntry(utility_id=entry.utility_id)
    return UtilityChange(
        utility_id=entry.utility_id,
        is_new=known is None,
        changed=tuple(
            name for name in entry.__struct_fields__ if getattr(entry, name) != getattr(before, name)
        ),
        webhook_secret_ref=entry.webhook_secret_ref,
        callback_secret_ref=entry.callback_secret_ref,
    )


def _context(correlation_id: UUID, actor: str, trace_id: str) -> CommandContext:
    return CommandContext(
        correlation_id=correlation_id,
        causation_id=correlation_id,
        actor=actor,
        tenant=None,
        trace_id=trace_id,
    )
