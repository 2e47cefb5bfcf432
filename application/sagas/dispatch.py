"""The dispatch saga: the commands that follow from each domain event. Pure: it never calls external systems.

A command carries no decision: the aggregate decides whether it still applies, so a late, repeated or
out-of-order command is harmless.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from application.commands.dispatch import (
    AbortDispatch,
    AlignDispatch,
    CommitDispatch,
    CompensateDispatch,
    DispatchCommand,
    LeaveDispatch,
    NoteRestore,
    PrepareDispatch,
    RestoreDispatch,
)
from application.commands.dr_event import (
    CompleteDREvent,
    FitPlanToForecast,
    MeasureDREvent,
    PlanDREvent,
    ReallocateShortfall,
    ReplanDREvent,
    RequestCallback,
)
from domain.dispatch import Dispatch
from domain.dr_event import CallbackKind, DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility

Rule = Callable[[Any], Iterable[msgspec.Struct]]


class DispatchSaga:
    """Maps each domain event to the commands that follow from it; most have none."""

    def follow(self, domain_event: DomainEvent) -> list[msgspec.Struct]:
        rule = RULES.get(type(domain_event))
        return [] if rule is None else list(rule(domain_event))


def _notify(kind: CallbackKind) -> Rule:
    return lambda fact: [RequestCallback(dr_event_id=fact.originator_id, kind=kind)]


def _plan(fact: DREvent.Accepted) -> Iterator[msgspec.Struct]:
    yield RequestCallback(dr_event_id=fact.originator_id, kind="accepted")
    yield PlanDREvent(dr_event_id=fact.originator_id)


def _each(command: type[DispatchCommand], callback: CallbackKind | None = None, **facts: str) -> Rule:
    """The command for every planned facility of the DR event."""

    def rule(fact: Any) -> Iterator[msgspec.Struct]:
        for facility_id in fact.facility_ids:
            yield command(dr_event_id=fact.originator_id, facility_id=facility_id, **facts)
        if callback is not None:
            yield RequestCallback(dr_event_id=fact.originator_id, kind=callback)

    return rule


def _this(*commands: type[DispatchCommand]) -> Rule:
    """The commands for the dispatch of the domain event."""
    return lambda fact: [
        kind(dr_event_id=fact.dr_event_id, facility_id=fact.facility_id) for kind in commands
    ]


def _close(fact: Dispatch.Event | Facility.RestoreAwaited) -> Iterator[msgspec.Struct]:
    yield CompleteDREvent(dr_event_id=fact.dr_event_id)


def _after_restore(fact: Dispatch.Event) -> Iterator[msgspec.Struct]:
    """Record whether the building is restored: other DR events may use the facility only after that."""
    yield NoteRestore(dr_event_id=fact.dr_event_id, facility_id=fact.facility_id)
    yield CompleteDREvent(dr_event_id=fact.dr_event_id)


def _restored_late(fact: Facility.RestoreConfirmed) -> Iterator[msgspec.Struct]:
    """Plans may use the facility again. Where a plan has it already, its preparation was waiting."""
    for dr_event_id in fact.dr_event_ids:
        yield ReplanDREvent(dr_event_id=dr_event_id, cause="rejoined")
        yield PrepareDispatch(dr_event_id=dr_event_id, facility_id=fact.facility_id)


def _undo(fact: Dispatch.Failed) -> Iterator[msgspec.Struct]:
    yield CompensateDispatch(dr_event_id=fact.dr_event_id, facility_id=fact.facility_id)
    yield ReallocateShortfall(dr_event_id=fact.dr_event_id)
    yield CompleteDREvent(dr_event_id=fact.dr_event_id)


def _left(fact: Dispatch.LeftEarly) -> Iterator[msgspec.Struct]:
    """Only a facility that leaves by itself, or is preempted, leaves a shortfall."""
    if fact.cause in {"opted_out", "preempted"}:
        yield ReallocateShortfall(dr_event_id=fact.dr_event_id)


def _unblocked(fact: Dispatch.Unblocked) -> Iterator[msgspec.Struct]:
    """It is prepared at once if the preparation runs already."""
    yield FitPlanToForecast(dr_event_id=fact.dr_event_id, facility_id=fact.facility_id)
    yield PrepareDispatch(dr_event_id=fact.dr_event_id, facility_id=fact.facility_id)


def _modified(fact: DREvent.Modified) -> Iterator[msgspec.Struct]:
    yield RequestCallback(dr_event_id=fact.originator_id, kind="modified")
    yield ReplanDREvent(dr_event_id=fact.originator_id, cause="modified")


def _replanned(fact: DREvent.Replanned) -> Iterator[msgspec.Struct]:
    """For facilities that joined the plan late, or whose window moved."""
    for target in fact.targets:
        yield PrepareDispatch(dr_event_id=fact.originator_id, facility_id=target.facility_id)


def _back(fact: Facility.OptedIn) -> Iterator[msgspec.Struct]:
    for dr_event_id in fact.dr_event_ids:
        yield ReplanDREvent(dr_event_id=dr_event_id, cause="rejoined")


def _add_up(fact: Dispatch.Event) -> Iterator[msgspec.Struct]:
    yield MeasureDREvent(dr_event_id=fact.dr_event_id)


def _settled(fact: DREvent.Settled) -> Iterator[msgspec.Struct]:
    """A utility that has agreed no rule, or has cancelled before the start, is told nothing of money."""
    if not {"no_rule", "cancelled_before_start"} & set(fact.figures.reasons):
        yield RequestCallback(dr_event_id=fact.originator_id, kind="settled")


def _aborted_batch(fact: DREvent.BatchAborted) -> Iterator[msgspec.Struct]:
    for facility_id in fact.facility_ids:
        yield LeaveDispatch(
            dr_event_id=fact.originator_id,
            facility_id=facility_id,
            cause="batch_aborted",
            reason=fact.reason,
        )
    yield CompleteDREvent(dr_event_id=fact.originator_id)


def _cancelled_while_active(fact: DREvent.CancelledWhileActive) -> Iterator[msgspec.Struct]:
    reason = "the DR event was cancelled"
    yield from _each(LeaveDispatch, callback="cancelled", cause="cancelled", reason=reason)(fact)
    yield CompleteDREvent(dr_event_id=fact.originator_id)


def _completed(fact: DREvent.Completed | DREvent.WoundUp) -> Iterator[msgspec.Struct]:
    yield RequestCallback(dr_event_id=fact.originator_id, kind="completed")
    yield MeasureDREvent(dr_event_id=fact.originator_id)


def _ended(fact: DREvent.Ended) -> Iterator[msgspec.Struct]:
    yield from _each(RestoreDispatch)(fact)
    yield CompleteDREvent(dr_event_id=fact.originator_id)


RULES: dict[type[DomainEvent], Rule] = {
    # Happy path
    DREvent.Accepted: _plan,
    DREvent.PreparationStarted: _each(PrepareDispatch),
    # For a dispatch whose plan changed meanwhile, and for one prepared after the start:
    Dispatch.Prepared: _this(PrepareDispatch, CommitDispatch),
    DREvent.Started: _each(CommitDispatch, callback="started"),
    # For a dispatch committed after the end, and for one whose plan changed meanwhile:
    Dispatch.Committed: _this(RestoreDispatch, AlignDispatch),
    Dispatch.Recommitted: _this(RestoreDispatch, AlignDispatch),
    Dispatch.RecommitFailed: _this(RestoreDispatch),
    DREvent.Ended: _ended,
    Dispatch.Restored: _after_restore,
    DREvent.Completed: _completed,
    Dispatch.Measured: _add_up,
    Dispatch.NotMeasurable: _add_up,
    DREvent.Measured: _notify("measured"),
    # Readings that came late or were corrected
    Dispatch.Remeasured: _add_up,
    Dispatch.MeasurementWithdrawn: _add_up,
    DREvent.Remeasured: _notify("measured"),
    # Money
    DREvent.Settled: _settled,
    DREvent.Resettled: _notify("resettled"),
    # Change
    DREvent.Modified: _modified,
    DREvent.Replanned: _replanned,
    Dispatch.Amended: _this(AlignDispatch),
    Dispatch.PreparationReleased: _this(PrepareDispatch),  # its lead time may have begun meanwhile
    Facility.OptedIn: _back,
    # Compensation
    DREvent.Rejected: _notify("rejected"),
    DREvent.Cancelled: _each(AbortDispatch, callback="cancelled", reason="the DR event was cancelled"),
    DREvent.CancelledWhileActive: _cancelled_while_active,
    DREvent.WoundUp: _completed,
    DREvent.Preempted: _each(
        LeaveDispatch, callback="preempted", cause="preempted", reason="it is not available any more"
    ),
    DREvent.BatchAborted: _aborted_batch,
    Dispatch.LeftEarly: _left,
    Dispatch.Unblocked: _unblocked,
    Dispatch.ForecastOverridden: _this(PrepareDispatch),
    Dispatch.Failed: _undo,
    Dispatch.Compensated: _after_restore,
    Dispatch.Aborted: _close,
    Dispatch.RestoreFailed: _after_restore,
    Dispatch.RestoredByHand: _after_restore,
    Facility.RestoreAwaited: _close,
    Facility.RestoreConfirmed: _restored_late,
}
"""Deadlines (prepare, start, end, retries) are not domain events: the decide worker issues their commands."""
