"""Known bugs that a simulation run can plant, to show that the invariants find them.

Each wraps a port or replaces one handler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from application.command_bus.bus import CommandBus, Handler
from application.commands.dispatch import CommitDispatch, CompensateDispatch
from application.commands.dr_event import CompleteDREvent, JudgeNotification, ModifyDREvent
from application.handlers import HANDLERS
from application.ports.clock import Clock
from application.sagas.dispatch import DispatchSaga
from interfaces.workers.decide.relay import Relay
from interfaces.workers.dispatch.dispatch import DispatchWorker
from tests.fakes.dispatch.open_work import FakeOpenWork
from tests.planted_faults import (
    AttemptSkippingBus,
    LosingNotifier,
    ResendingControl,
    RestoreSkippingControl,
)
from tests.simulation.doubles.bms_network import Breakers
from tests.simulation.planted.no_bug import Due, NoBug
from tests.simulation.planted.rows import (
    DroppingRows,
    FinishingFirstRows,
    FirstTryRows,
    HeadlessRows,
    LivingHoldersRows,
    OnePoolWorker,
    QueueBlockingRows,
    SecondTransactionRows,
)
from tests.simulation.planted.seams import (
    AheadPositions,
    EndlessRelay,
    KeylessBus,
    NoBreakers,
    NoExpiryStore,
    NoLocks,
    NoStatusControl,
    SagaWithout,
    commit_unconditionally,
    complete_counting_all,
    with_24_hour_days,
)


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
    """Never carries out one in eight pieces of BMS work."""

    name = "drops-the-intent"

    def rows(self) -> type[FakeOpenWork]:
        return DroppingRows


class FinishesFirst(NoBug):
    """Finishes a row of BMS work before its outcome is recorded."""

    name = "finishes-first"

    def rows(self) -> type[FakeOpenWork]:
        return FinishingFirstRows


class WritesRowsLater(NoBug):
    """Writes the rows of open work in a second transaction, after the events."""

    name = "writes-rows-later"

    def rows(self) -> type[FakeOpenWork]:
        return SecondTransactionRows


class TakesBehindTheHead(NoBug):
    """Takes a later row of a building while an earlier one is held or put off."""

    name = "takes-behind-the-head"

    def rows(self) -> type[FakeOpenWork]:
        return HeadlessRows


class FreesLivingHolders(NoBug):
    """Frees the rows of a worker that lives, so that another one takes them."""

    name = "frees-living-holders"

    def rows(self) -> type[FakeOpenWork]:
        return LivingHoldersRows


class BlocksByAPutOff(NoBug):
    """Takes no callback of a utility behind one that is put off."""

    name = "blocks-by-a-put-off"

    def rows(self) -> type[FakeOpenWork]:
        return QueueBlockingRows


class ChecksTakeAllPlaces(NoBug):
    """Gives checks the places of commands."""

    name = "checks-take-all-places"

    def dispatch_worker(self) -> type[DispatchWorker]:
        return OnePoolWorker


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


class HoldsNoLock(FreesLivingHolders):
    """Workers run without their locks, and rows of living workers are freed."""

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

    def rows(self) -> type[FakeOpenWork]:
        return FirstTryRows


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
        WritesRowsLater,
        TakesBehindTheHead,
        FinishesFirst,
        FreesLivingHolders,
        BlocksByAPutOff,
        ChecksTakeAllPlaces,
        ForgetsCompensation,
        CommitsAfterCancellation,
        MovesFirst,
        ForgetsKeys,
        HoldsNoLock,
        HasNoBreaker,
        NeverRetriesARestore,
        CountsEverybody,
        TakesADayFor24Hours,
        NeverMeasuresItsClock,
        TakesAnyTime,
        StopsAtPoison,
        CountsNoTries,
    )
}
"""Name -> bug. docs/simulation.md lists the first seed that finds each."""
