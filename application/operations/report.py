"""The operations report: queues, stopped parts and open items."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from application.operations.process_kinds import KINDS, WEB, Leads, ProcessKind
from application.ports.operations.alerts import Alert
from application.ports.operations.system_state import Rebuild

BREAKER_ALERT = "bms_breaker_open"
LOCKS = frozenset(lock for kind in KINDS for lock in kind.locks)
"""The locks that active processes hold."""


class OpenBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """A BMS to which calls are suspended."""

    facility_id: str
    since: datetime
    last_seen_at: datetime
    detail: str


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a worker: whether it is running."""

    name: str
    running: bool | None
    """None: unknown."""


class LedgerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The newest checkpoint; None: nothing is sealed yet."""

    checkpoint: int | None
    sealed_at: datetime | None
    age_s: float | None
    """Clock seconds."""
    unsealed: int
    """Domain events of both logs after it."""
    mismatches: int


class RebuildState(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a rebuild; `share` of the log, 0 to 1."""

    position: int
    up_to: int
    share: float
    domain_events: int
    rows: int
    started_at: datetime


def open_breakers(alerts: list[Alert]) -> tuple[OpenBreaker, ...]:
    return tuple(
        OpenBreaker(
            facility_id=alert.subject,
            since=alert.raised_at,
            last_seen_at=alert.last_seen_at,
            detail=alert.detail,
        )
        for alert in alerts
        if alert.name == BREAKER_ALERT and alert.cleared_at is None
    )


def worker_states(sessions: Mapping[str, int], held: frozenset[str]) -> tuple[WorkerState, ...]:
    """The states by name. A worker whose own lock is free is not running, whatever sessions exist."""
    running = {kind.name: _is_running(kind, sessions, held) for kind in KINDS if kind.name != WEB}
    return tuple(WorkerState(name=name, running=found) for name, found in sorted(running.items()))


def _is_running(kind: ProcessKind, sessions: Mapping[str, int], held: frozenset[str]) -> bool | None:
    if kind.locks:
        return held.issuperset(kind.locks)
    acts = kind.acts
    if isinstance(acts, Leads) or acts.session is None:
        return None
    is_seen = any(name.startswith(acts.session) for name, count in sessions.items() if count)
    return is_seen or (None if acts.at_first_work else False)


def rebuild_state(rebuild: Rebuild) -> RebuildState:
    return RebuildState(
        position=rebuild.position,
        up_to=rebuild.up_to,
        share=1.0 if rebuild.up_to <= 0 else min(1.0, rebuild.position / rebuild.up_to),
        domain_events=rebuild.domain_events,
        rows=rebuild.rows,
        started_at=rebuild.started_at,
    )
