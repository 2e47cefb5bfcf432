"""What a phase of a dispatch came to, once every command of it is settled; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.dispatch import events
from domain.dispatch.decisions import Fact
from domain.dispatch.state import CURTAILED, CommandRecord, DispatchState, Phase

RESTORE_RETRY = timedelta(seconds=60)
"""How long after its first failure a restore is tried again; each further one doubles the pause."""
LONGEST_RESTORE_RETRY = timedelta(minutes=15)


def restore_pause(failures: int) -> timedelta:
    """Until the next try of a restore that has failed `failures` times before this time."""
    return min(RESTORE_RETRY * (1 << min(failures, 10)), LONGEST_RESTORE_RETRY)


def conclusion(state: DispatchState, *, now: datetime) -> Fact | None:
    """None while a command is open or a zone waits for its restore, and where nothing is under way."""
    if state.has_open_command or state.restore_steps:
        return None
    if state.status == "preparing":
        return _forward(state, "prepare")
    if state.status == "committing":
        return _forward(state, "commit")
    if state.status in CURTAILED:
        return _again(state)
    if state.status in {"restoring", "compensating", "aborting"}:
        return _undoing(state, now)
    return None


def _forward(state: DispatchState, phase: Phase) -> Fact:
    """Every zone of the plan, or none: one that did not succeed fails the facility."""
    latest = state.latest(phase)
    planned = {zone: record for zone, record in latest.items() if zone in state.zones}
    if failures := _failures(planned):
        return events.Failed, {"phase": phase, "reason": f"{phase} did not succeed: {failures}"}
    return (events.Prepared if phase == "prepare" else events.Committed), {}


def _again(state: DispatchState) -> Fact:
    """A commit to a building that is curtailed already."""
    if failures := _failures(state.latest("commit")):
        return events.RecommitFailed, {"reason": f"commit did not succeed: {failures}"}
    return events.Recommitted, {}


def _failures(records: dict[str, CommandRecord]) -> str:
    unsuccessful = {zone: record for zone, record in records.items() if record.state != "succeeded"}
    return ", ".join(
        f"{zone} {record.state.replace('_', ' ')}" for zone, record in sorted(unsuccessful.items())
    )


def _undoing(state: DispatchState, now: datetime) -> Fact:
    restores = state.latest("restore")
    if any(record.state != "succeeded" for record in restores.values()):
        return events.RestoreFailed, {
            "reason": "not every zone could be restored",
            "retry_at": now + restore_pause(state.restore_failures),
        }
    if state.failure is not None:
        return events.Compensated, {}
    if restores:
        return events.Restored, {}
    if state.prepare_again and state.left is None:
        return events.PreparationReleased, {"target_kw": state.target_kw}
    return events.Aborted, {"reason": state.left_reason or "released before the commit"}
