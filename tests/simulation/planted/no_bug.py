"""The wiring of a storm without a planted bug: what a bug can replace or wrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from application.command_bus.bus import CommandBus, Handler
from application.handlers import HANDLERS
from application.operations.clock_monitor import MAX_SKEW_S
from application.ports.clock import Clock
from application.sagas.dispatch import DispatchSaga
from interfaces.workers.decide.relay import Relay
from interfaces.workers.dispatch.dispatch import DispatchWorker
from projections.deadlines import DeadlineRow
from tests.fakes.dispatch.open_work import FakeOpenWork
from tests.simulation.doubles.bms_network import Breakers, bms_breakers

Due = Callable[[datetime], list[DeadlineRow]]


class NoBug:
    """The wiring of a storm. Each method may replace or wrap the part it gets."""

    name: ClassVar[str] = "none"
    most_ahead_s: ClassVar[float] = MAX_SKEW_S
    """Wall seconds by which the database lets a save be dated ahead of its clock."""

    def bus(self) -> type[CommandBus]:
        return CommandBus

    def handlers(self) -> Mapping[type, Handler]:
        return HANDLERS

    def saga(self) -> DispatchSaga:
        return DispatchSaga()

    def relay(self) -> type[Relay]:
        return Relay

    def store(self, store: Any) -> Any:
        return store

    def breakers(self) -> Callable[[Clock, Callable[[str, str], None]], Breakers]:
        return bms_breakers

    def control(self, control: Any, clock: Clock) -> Any:
        return control

    def rows(self) -> type[FakeOpenWork]:
        return FakeOpenWork

    def dispatch_worker(self) -> type[DispatchWorker]:
        return DispatchWorker

    def locks(self, locks: Any) -> Any:
        return locks

    def positions(self, positions: Any, log: Any) -> Any:
        return positions

    def decision_clock(self, checked: Clock, unchecked: Clock) -> Clock:
        return checked

    def notifier(self, notifier: Any) -> Any:
        return notifier

    def due(self, due: Due) -> Due:
        return due
