"""Known bugs put into the seams of the real code, to show that the simulation finds them.

Each stands around a port or replaces one entry of a table; `NoBug` is the product as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from msgspec.structs import replace

from application.command_bus.bus import CommandBus, Handler
from application.commands.dispatch import CommitDispatch, CompensateDispatch
from application.commands.dr_event import CompleteDREvent, JudgeNotification, ModifyDREvent
from application.handlers import HANDLERS
from application.ports.clock import Clock
from application.sagas.dispatch import DispatchSaga
from projections.deadlines import DeadlineRow
from tests.planted_faults import (
    AttemptSkippingBus,
    LosingNotifier,
    ResendingControl,
    RestoreSkippingControl,
)
from tests.simulation.doubles.building_control import BmsAdapter
from tests.simulation.planted.seams import (
    HastyPositions,
    HastyQueue,
    KeylessBus,
    LeakyQueue,
    NeverAskingControl,
    NoBreakers,
    NoLocks,
    SagaWithout,
    TimelessStore,
    by_days_of_24_hours,
    commit_regardless,
    complete_counting_everybody,
)

Due = Callable[[datetime], list[DeadlineRow]]


class NoBug:
    """How a storm is wired: each method may put something else in the place of what it is given."""

    name: ClassVar[str] = "none"

    def bus(self) -> type[CommandBus]:
        return CommandBus

    def handlers(self) -> Mapping[type, Handler]:
        return HANDLERS

    def saga(self) -> DispatchSaga:
        return DispatchSaga()

    def store(self, store: Any) -> Any:
        return store

    def adapter(self, adapter: BmsAdapter) -> BmsAdapter:
        return adapter

    def control(self, control: Any, clock: Clock) -> Any:
        return control

    def queue(self, queue: Any) -> Any:
        return queue

    def locks(self, locks: Any) -> Any:
        return locks

    def positions(self, positions: Any, log: Any) -> Any:
        return positions

    def notifier(self, notifier: Any) -> Any:
        return notifier

    def due(self, due: Due) -> Due:
        return due


class SkipsTheAttempt(NoBug):
    """Calls a BMS without having recorded that it will."""

    name = "skips-the-attempt"

    def bus(self) -> type[CommandBus]:
        return AttemptSkippingBus


class SendsTwice(NoBug):
    """Sends each commit twice."""

    name = "sends-twice"

    def control(self, control: Any, clock: Clock) -> Any:
        return ResendingControl(control)


class LosesARestore(NoBug):
    """Says that a restore was done, and does not do it."""

    name = "loses-a-restore"

    def control(self, control: Any, clock: Clock) -> Any:
        return RestoreSkippingControl(control, clock)


class LosesACallback(NoBug):
    """Says that the utility was told, and does not tell it."""

    name = "loses-a-callback"

    def notifier(self, notifier: Any) -> Any:
        return LosingNotifier(notifier)


class NeverAsks(NoBug):
    """Calls again after a lost answer, without asking what became of the first call."""

    name = "never-asks"

    def control(self, control: Any, clock: Clock) -> Any:
        return NeverAskingControl(control)


class IgnoresTheExpiry(NoBug):
    """Goes on sending a command whose time is over."""

    name = "ignores-the-expiry"

    def store(self, store: Any) -> Any:
        return TimelessStore(store)


class DropsTheIntent(NoBug):
    """Believes one in eight messages to be on the queue that never went there."""

    name = "drops-the-intent"

    def queue(self, queue: Any) -> Any:
        return LeakyQueue(queue)


class AcknowledgesFirst(NoBug):
    """Takes work off the queue before it is done."""

    name = "acknowledges-first"

    def queue(self, queue: Any) -> Any:
        return HastyQueue(queue)


class ForgetsCompensation(NoBug):
    """A failed dispatch is left as it is."""

    name = "forgets-compensation"

    def saga(self) -> DispatchSaga:
        return SagaWithout(CompensateDispatch)


class CommitsAfterCancellation(NoBug):
    """Commits whatever has become of the DR event."""

    name = "commits-after-cancellation"

    def handlers(self) -> Mapping[type, Handler]:
        return {**HANDLERS, CommitDispatch: commit_regardless}


class MovesFirst(NoBug):
    """The relay remembers that it has come further than it has."""

    name = "moves-first"

    def positions(self, positions: Any, log: Any) -> Any:
        return HastyPositions(positions, log)


class ForgetsKeys(NoBug):
    """A command that the relay repeats is carried out again."""

    name = "forgets-keys"

    def bus(self) -> type[CommandBus]:
        return KeylessBus


class HoldsNoLock(NoBug):
    """Workers do not keep each other out."""

    name = "holds-no-lock"

    def locks(self, locks: Any) -> Any:
        return NoLocks()


class HasNoBreaker(NoBug):
    """Goes on calling a BMS that does not answer."""

    name = "has-no-breaker"

    def adapter(self, adapter: BmsAdapter) -> BmsAdapter:
        return replace(adapter, breakers=NoBreakers)


class NeverRetriesARestore(NoBug):
    """A restore that failed stays failed."""

    name = "never-retries-a-restore"

    def due(self, due: Due) -> Due:
        return lambda now: [row for row in due(now) if row.kind != "restore_retry"]


class CountsEverybody(NoBug):
    """Counts a DR event against the limits of everybody it asked for."""

    name = "counts-everybody"

    def handlers(self) -> Mapping[type, Handler]:
        return {**HANDLERS, CompleteDREvent: complete_counting_everybody}


class TakesADayFor24Hours(NoBug):
    """Counts the DR events of a local day by 24 hours from its midnight."""

    name = "knows-no-long-day"

    def handlers(self) -> Mapping[type, Handler]:
        judging = (JudgeNotification, ModifyDREvent)
        return {**HANDLERS, **{kind: by_days_of_24_hours(HANDLERS[kind]) for kind in judging}}


PLANTED: dict[str, type[NoBug]] = {
    bug.name: bug
    for bug in (
        SkipsTheAttempt,
        SendsTwice,
        LosesARestore,
        LosesACallback,
        NeverAsks,
        IgnoresTheExpiry,
        DropsTheIntent,
        AcknowledgesFirst,
        ForgetsCompensation,
        CommitsAfterCancellation,
        MovesFirst,
        ForgetsKeys,
        HoldsNoLock,
        HasNoBreaker,
        NeverRetriesARestore,
        CountsEverybody,
        TakesADayFor24Hours,
    )
}
"""Name -> the bug; docs/simulation.md lists the first seed that catches each."""
