"""What a phase of a dispatch came to, once every command of it is settled; pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from domain.dispatch import events
from domain.dispatch.state import DispatchState, Phase
from domain.event_sourcing import DomainEvent

RESTORE_RETRY = timedelta(seconds=60)
"""How long after a failed restore it is tried again."""

Conclusion = tuple[type[DomainEvent], dict[str, Any]]
"""A domain event to record, and what it states."""


def conclusion(state: DispatchState, phase: Phase, *, now: datetime) -> Conclusion | None:
    """None while a command is still open."""
    if any(record.state == "requested" for record in state.commands.values()):
        return None
    if phase in ("prepare", "commit"):
        return _forward(state, phase)
    return _undoing(state, now)


def _forward(state: DispatchState, phase: Phase) -> Conclusion:
    """Every zone, or none: one that did not succeed fails the facility."""
    latest = state.latest(phase)
    unsuccessful = {zone: record for zone, record in latest.items() if record.state != "succeeded"}
    if unsuccessful:
        named = ", ".join(f"{zone} {record.state}" for zone, record in sorted(unsuccessful.items()))
        return events.Failed, {"phase": phase, "reason": f"{phase} did not succeed: {named}"}
    return (events.Prepared if phase == "prepare" else events.Committed), {}


def _undoing(state: DispatchState, now: datetime) -> Conclusion:
    restores = state.latest("restore")
    if any(record.state != "succeeded" for record in restores.values()):
        return events.RestoreFailed, {
            "reason": "not every zone could be restored",
            "retry_at": now + RESTORE_RETRY,
        }
    if state.failure is not None:
        return events.Compensated, {}
    if restores:
        return events.Restored, {}
    return events.Aborted, {"reason": "released before the commit"}
