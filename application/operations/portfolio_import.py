"""Import of a portfolio: utilities, programs and facilities, each as its entry states it."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import Portfolio
from application.ports.facility import Utilities
from domain.identifiers import NAMESPACE


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of an import. Importing the same portfolio again changes nothing."""

    utilities: int
    programs: int
    facilities: int
    domain_events: int
    """Recorded for facilities; 0 where nothing changed."""


def import_portfolio(
    portfolio: Portfolio,
    *,
    bus: CommandBus,
    utilities: Utilities,
    at: datetime,
    actor: str,
    trace_id: str,
    progress: Callable[[int], None] = lambda done: None,
) -> ImportReport:
    """`progress` is called with the number of facilities done. Raises the errors of the bus and of the
    register of utilities."""
    correlation_id = uuid5(NAMESPACE, f"import:{at.isoformat()}")
    context = _context(correlation_id, actor, trace_id)
    for utility in portfolio.utilities:
        utilities.keep(utility, at=at)
    for program in portfolio.programs:
        bus.handle(AgreeProgram(entry=program), context)
    recorded = 0
    for done, facility in enumerate(portfolio.facilities, start=1):
        recorded += bus.handle(RegisterFacility(entry=facility), context, reply_type=int)
        progress(done)
    return ImportReport(
        utilities=len(portfolio.utilities),
        programs=len(portfolio.programs),
        facilities=len(portfolio.facilities),
        domain_events=recorded,
    )


def _context(correlation_id: UUID, actor: str, trace_id: str) -> CommandContext:
    return CommandContext(
        correlation_id=correlation_id,
        causation_id=correlation_id,
        actor=actor,
        tenant=None,
        trace_id=trace_id,
    )
