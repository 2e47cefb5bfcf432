"""The result of a dispatch phase once no command of it is open; pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.dispatch import events
from domain.dispatch.state import CURTAILED, CommandRecord, DispatchState, Phase
from domain.event_sourcing.aggregate import PendingEvent, pending

RESTORE_RETRY = timedelta(seconds=60)
"""The pause before the first retry of a failed restore; each further failure doubles it."""
LONGEST_RESTORE_RETRY = timedelta(minutes=15)
"""The upper limit of that pause."""


def restore_pause(failures: int) -> timedelta:
    """The pause before the next try of a restore that failed `failures` times before."""
    return min(RESTORE_RETRY * (1 << min(failures, 10)), LONGEST_RESTORE_RETRY)


def phase_conclusion(state: DispatchState, *, now: datetime) -> PendingEvent | None:
    """The domain event that ends the phase. None while a command is open, a zone waits, or no phase is under
    way.
    """
    if state.has_open_command or state.restore_steps:
        return None
    if state.status == "preparing":
        return _forward_phase_result(state, "prepare")
    if state.status == "committing":
        return _forward_phase_result(state, "commit")
    if state.status in CURTAILED:
        return _recommit_result(state)
    if state.status in {"restoring", "compensating", "aborting"}:
        return _undo_result(state, now)
    return None


def _forward_phase_result(state: DispatchState, phase: Phase) -> PendingEvent:
    """Every zone of the plan must succeed; one that does not fails the facility."""
    latest = state.latest(phase)
    planned = {zone: record for zone, record in latest.items() if zone in state.zones}
    if failures := _failures(planned):
        return pending(events.Failed, phase=phase, reason=f"{phase} did not succeed: {failures}")
    return pending(events.Prepared if phase == "prepare" else events.Committed)


def _recommit_result(state: DispatchState) -> PendingEvent:
    """The result of a commit to a building that is already curtailed."""
    if failures := _failures(state.latest("commit")):
        return pending(events.RecommitFailed, reason=f"commit did not succeed: {failures}")
    return pending(events.Recommitted)


def _failures(records: dict[str, CommandRecord]) -> str:
    unsuccessful = {zone: record for zone, record in records.items() if record.state != "succeeded"}
    return ", ".join(
        f"{zone} {record.state.replace('_', ' ')}" for zone, record in sorted(unsuccessful.items())
    )


def _undo_result(state: DispatchState, now: datetime) -> PendingEvent:
    restores = state.latest("restore")
    if any(record.state != "succeeded" for record in restores.values()):
        return pending(
            events.RestoreFailed,
            reason="not every zone could be restored",
            retry_at=now + restore_pause(state.restore_failures),
        )
    if state.failure is not None:
        return pending(events.Compensated)
    if restores:
        return pending(events.Restored)
    if state.prepare_again and state.left is None:
        return pending(events.PreparationReleased, target_kw=state.target_kw)
    return pending(events.Aborted, reason=state.left_reason or "released before the commit")
