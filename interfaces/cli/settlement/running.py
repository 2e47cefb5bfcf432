"""The running system, as the commands of settlement use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domain.errors import UnknownDREvent
from interfaces.cli.console.session import command_context, opened_stores

if TYPE_CHECKING:
    from collections.abc import Callable

    from application.command_bus.bus import CommandBus
    from application.command_bus.decision_context import CommandContext
    from application.measurement.regression_source import RegressionSource
    from application.ports.clock import Clock
    from application.ports.event_store.event_store import EventStore
    from application.ports.settlement.documents import SettlementDocuments
    from application.ports.telemetry.store import TelemetryStore
    from domain.program import ProgramState
    from projections.audit.stream_log import StreamLog
    from projections.dr_event.projection import DREventRow
    from projections.queries.views import ReadModels


@dataclass(frozen=True, kw_only=True)
class RunningSystem:
    """`temperatures`: opens what baselines by regression need."""

    bus: CommandBus
    events: EventStore
    log: StreamLog
    models: ReadModels
    documents: SettlementDocuments
    program: Callable[[str], ProgramState | None]
    telemetry: Callable[[], TelemetryStore]
    temperatures: Callable[[], RegressionSource]
    clock: Clock
    context: Callable[[str], CommandContext]
    """Of a command issued from this terminal, for a utility."""

    def dr_event(self, reference: str) -> DREventRow:
        """By our id, or the utility's own. Raises UnknownDREvent."""
        from projections.audit.replay import resolve_dr_event
        from projections.dr_event.projection import key_of

        row = self.models.dr_events.get(key_of(resolve_dr_event(self.log, reference)))
        if row is None:
            raise UnknownDREvent(
                f"no DR event {reference} in the read model; one just accepted follows at once, "
                "others are listed by `gridproof dr-events list`"
            )
        return row

    def handle(self, command: Any, *, tenant: str, reply_type: type[Any]) -> Any:
        return self.bus.handle(command, self.context(tenant), reply_type=reply_type)


@contextmanager
def opened_system() -> Iterator[RunningSystem]:
    """Raises NoRunningSystem."""
    from functools import partial

    from interfaces.bootstrap.operations import regression_source

    with opened_stores() as stores:
        yield RunningSystem(
            bus=stores.bus,
            events=stores.events,
            log=stores.stream_log(),
            models=stores.read_models(),
            documents=stores.settlement_documents(),
            program=stores.program,
            telemetry=stores.telemetry,
            temperatures=partial(regression_source, stores),
            clock=stores.clock,
            context=lambda tenant: command_context(stores, tenant=tenant),
        )
