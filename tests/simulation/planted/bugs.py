"""Known bugs that a simulation run can plant, to show that the invariants find them.

Each wraps a port or replaces one handler. `NoBug` is the unchanged product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from application.command_bus.bus import CommandBus, Handler
from application.commands.dispatch import CommitDispatch, CompensateDispatch
from application.commands.dr_event import CompleteDREvent, JudgeNotification, ModifyDREvent, RequestCallback
from application.handlers import HANDLERS
from application.operations.clock_monitor import MAX_SKEW_S
from application.ports.clock import Clock
from application.sagas.dispatch import DispatchSaga
from interfaces.workers.relay.relay import Relay
from projections.deadlines import DeadlineRow
from tests.planted_faults import (
    AttemptSkippingBus,
    LosingNotifier,
    ResendingControl,
    RestoreSkippingControl,
)
from tests.simulation.doubles.bms_network import Breakers, bms_breakers
from tests.simulation.planted.seams import (
    AheadPositions,
    DroppingQueue,
    EarlyAckQueue,
    EndlessRelay,
    FirstDeliveryQueue,
    FirstIssueQueue,
    KeylessBus,
    NeverRejectingQueue,
    NoBreakers,
    NoExpiryStore,
    NoLocks,
    NoStatusControl,
    OneShareQueue,
    SagaWithout,
    commit_unconditionally,
    complete_counting_all,
    request_any_callback,
    with_24_hour_days,
)

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

    def queue(self, queue: Any) -> Any:
        return queue

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

    def overdue(self, overdue: Due) -> Due:
        return overdue

    def overdue_callbacks(self, overdue: Due) -> Due:
        return overdue


class SkipsTheAttempt(NoBug):
    """Calls a BMS without recording the attempt first."""

    name = "skips-the-attempt"

    def bus(self) -> type[CommandBus]:
        return AttemptSkippingBus


class SendsTwice(NoBug):
    """Sends each commit twice."""

    name = "sends-twice"

    def control(self, control: Any, clock: Clock) -> Any:
        return ResendingControl(control)


class LosesARestore(NoBug):
    """Reports a restore as done without sending it."""

    name = "loses-a-restore"

    def control(self, control: Any, clock: Clock) -> Any:
        return RestoreSkippingControl(control, clock)


class LosesACallback(NoBug):
    """Reports a callback as delivered without sending it."""

    name = "loses-a-callback"

    def notifier(self, notifier: Any) -> Any:
        return LosingNotifier(notifier)


class NeverAsks(NoBug):
    """Repeats a call after a lost response without asking for the command's status."""

    name = "never-asks"

    def control(self, control: Any, clock: Clock) -> Any:
        return NoStatusControl(control)


class IgnoresTheExpiry(NoBug):
    """Sends a command after its expiry."""

    name = "ignores-the-expiry"

    def store(self, store: Any) -> Any:
        return NoExpiryStore(store)


class DropsTheIntent(NoBug):
    """Never publishes one in eight BMS commands, also when it is issued again."""

    name = "drops-the-intent"

    def queue(self, queue: Any) -> Any:
        return DroppingQueue(queue)


class AcknowledgesFirst(NoBug):
    """Acknowledges a message before the work is done."""

    name = "acknowledges-first"

    def queue(self, queue: Any) -> Any:
        return EarlyAckQueue(queue)


class ForgetsCompensation(NoBug):
    """Does not compensate a failed dispatch."""

    name = "forgets-compensation"

    def saga(self) -> DispatchSaga:
        return SagaWithout(CompensateDispatch)


class CommitsAfterCancellation(NoBug):
    """Commits a dispatch without checking whether its DR event is still on."""

    name = "commits-after-cancellation"

    def handlers(self) -> Mapping[type, Handler]:
        return {**HANDLERS, CommitDispatch: commit_unconditionally}


class MovesFirst(NoBug):
    """The relay stores the head of the log as its position."""

    name = "moves-first"

    def positions(self, positions: Any, log: Any) -> Any:
        return AheadPositions(positions, log)


class ForgetsKeys(NoBug):
    """Runs a command that the relay repeats again, without its idempotency key."""

    name = "forgets-keys"

    def bus(self) -> type[CommandBus]:
        return KeylessBus


class HoldsNoLock(NoBug):
    """Workers run without their locks."""

    name = "holds-no-lock"

    def locks(self, locks: Any) -> Any:
        return NoLocks()


class HasNoBreaker(NoBug):
    """Calls a BMS without a circuit breaker."""

    name = "has-no-breaker"

    def breakers(self) -> Callable[[Clock, Callable[[str, str], None]], Breakers]:
        return NoBreakers


class NeverRetriesARestore(NoBug):
    """Does not retry a failed restore."""

    name = "never-retries-a-restore"

    def due(self, due: Due) -> Due:
        return lambda now: [row for row in due(now) if row.kind != "restore_retry"]


class CountsEverybody(NoBug):
    """Counts a DR event against the limits of every requested facility."""

    name = "counts-everybody"

    def handlers(self) -> Mapping[type, Handler]:
        return {**HANDLERS, CompleteDREvent: complete_counting_all}


class TakesADayFor24Hours(NoBug):
    """Counts the DR events of a local day as 24 hours from midnight, also on days of 23 or 25 hours."""

    name = "knows-no-long-day"

    def handlers(self) -> Mapping[type, Handler]:
        judging = (JudgeNotification, ModifyDREvent)
        return {**HANDLERS, **{kind: with_24_hour_days(HANDLERS[kind]) for kind in judging}}


class NeverSweeps(NoBug):
    """Does not issue BMS commands again that the queue has lost."""

    name = "never-sweeps"

    def overdue(self, overdue: Due) -> Due:
        return lambda now: []


class NeverSweepsCallbacks(NoBug):
    """Does not publish callbacks again that the queue has lost."""

    name = "never-sweeps-callbacks"

    def overdue_callbacks(self, overdue: Due) -> Due:
        return lambda now: []


class RepeatsTheMessageId(NoBug):
    """Publishes a command that is issued again under the message id of its first issue."""

    name = "repeats-the-message-id"

    def queue(self, queue: Any) -> Any:
        return FirstIssueQueue(queue)


class NeverMeasuresItsClock(NoBug):
    """Decides by a clock that was never compared with the database's."""

    name = "never-measures-its-clock"

    def decision_clock(self, checked: Clock, unchecked: Clock) -> Clock:
        return unchecked


class TakesAnyTime(NoBug):
    """Saves what is dated ahead of the database's clock."""

    name = "takes-any-time"
    most_ahead_s = float("inf")


class StopsAtPoison(NoBug):
    """The relay repeats a command that fails for good without end, and moves no further."""

    name = "stops-at-poison"

    def relay(self) -> type[Relay]:
        return EndlessRelay


class CountsNoTries(NoBug):
    """Counts no tries of BMS work."""

    name = "counts-no-tries"

    def queue(self, queue: Any) -> Any:
        return FirstDeliveryQueue(queue)


class RecordsAnySize(NoBug):
    """Records a callback that is too large for the work queue."""

    name = "records-any-size"

    def handlers(self) -> Mapping[type, Handler]:
        return {**HANDLERS, RequestCallback: request_any_callback}


class RetriesTheRejected(NoBug):
    """Takes a work queue that rejects a message for one that is away."""

    name = "retries-the-rejected"

    def queue(self, queue: Any) -> Any:
        return NeverRejectingQueue(queue)


class SharesOneQueue(NoBug):
    """The callbacks of all utilities share one queue, which one of them can fill."""

    name = "shares-one-queue"

    def queue(self, queue: Any) -> Any:
        return OneShareQueue(queue)


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
        NeverSweeps,
        NeverSweepsCallbacks,
        RepeatsTheMessageId,
        NeverMeasuresItsClock,
        TakesAnyTime,
        StopsAtPoison,
        CountsNoTries,
        RecordsAnySize,
        RetriesTheRejected,
        SharesOneQueue,
    )
}
"""Name -> bug. docs/simulation.md lists the first seed that finds each."""
