"""The PostgreSQL connection budget: how many sessions of each kind a process opens at most (ADR 0088).

A worker that would open one more gets an error instead (adapters/postgres/connection/budget.py).

Every session has an `application_name`, by which `pg_stat_activity` shows its kind. The read replica is another server
and is not counted, and neither is a short look at the hosts of the address, one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from application.operations.process_kinds import EVENT_STORE, KIND_OF, POOL, WEB_POOL
from application.operations.process_kinds import KINDS as KINDS_OF_PROCESSES

if TYPE_CHECKING:
    from interfaces.settings.settings import Settings

REBUILD = 3
"""The session that holds the lock of a rebuild, and the two that it folds with."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "pool": ("gridproof pool",),
    "event_store": ("gridproof group commit ", "gridproof streams ", "gridproof log "),
    "locks": ("gridproof locks", "gridproof call slots", "gridproof partitions", "turn "),
    "listen": ("gridproof listen",),
    "live_log": ("gridproof live log",),
    "projections": ("projection ", "ledger"),
    "rebuilds": ("rebuild ", "verify "),
    "waits": ("gridproof waits",),
    "replica": ("gridproof replica",),
    "survey": ("gridproof survey",),
}
"""Kind -> the prefixes of its application names."""

COMMAND = "cli"
"""Any command but `worker`. Beside it `projections rebuild` opens one session, and two for each process that it folds
in; commands are not held to their budget."""
_COMMAND_SESSIONS = {"pool": POOL, "event_store": EVENT_STORE, "waits": 1}
DEFAULT_PROCESSES: Mapping[str, int] = {kind.name: kind.count for kind in KINDS_OF_PROCESSES} | {COMMAND: 1}
"""What `gridproof up` starts, and one command beside it."""


def connection_budget(process: str, settings: Settings) -> dict[str, int]:
    """Kind of session -> sessions at most, of one process of the kind `process`, or of COMMAND."""
    if process == COMMAND:
        return dict(_COMMAND_SESSIONS)
    kind = KIND_OF[process]
    budget = dict(kind.sessions)
    if kind.folds_read_models:
        from projections.registry import PROJECTIONS

        budget["projections"] = len(PROJECTIONS) + 1  # and the ledger
        budget["rebuilds"] = REBUILD * len(PROJECTIONS)  # after an upgrade, all of them at once
    return budget


def budget_of_worker(process: str, settings: Settings) -> int:
    """Sessions at most, of one process; 0 for one that this release does not know."""
    return sum(connection_budget(process, settings).values()) if process in DEFAULT_PROCESSES else 0


def total_budget(settings: Settings, processes: Mapping[str, int] = DEFAULT_PROCESSES) -> int:
    """Sessions at most, of all `processes` (name -> how many of them)."""
    return sum(count * budget_of_worker(name, settings) for name, count in processes.items())


def kind_of(application_name: str) -> str | None:
    """The kind of a session; None for one that is not ours."""
    for kind, prefixes in KINDS.items():
        if application_name.startswith(prefixes):
            return kind
    return None


def enforce_budget(process: str, settings: Settings) -> None:
    """From now on this process opens no session beyond its budget."""
    from adapters.postgres.connection.budget import BUDGET

    BUDGET.set_limits(connection_budget(process, settings) | {"replica": WEB_POOL, "survey": 1}, kind_of)


@cache
def _gauges(registry: CollectorRegistry) -> tuple[Gauge, Gauge]:
    """Sessions that the process may open, and has open."""
    return (
        Gauge(
            "gridproof_postgres_connections_budget",
            "PostgreSQL sessions that this process opens at most, by kind",
            ("kind",),
            registry=registry,
        ),
        Gauge(
            "gridproof_postgres_sessions",
            "PostgreSQL sessions that this process has open, by kind",
            ("kind",),
            registry=registry,
        ),
    )


def show_budget(process: str, settings: Settings, registry: CollectorRegistry = REGISTRY) -> None:
    """Set the metrics of this process."""
    allowed, opened = _gauges(registry)
    for kind, sessions in connection_budget(process, settings).items():
        allowed.labels(kind).set(sessions)
        opened.labels(kind).set_function(partial(_open_sessions, kind))


def _open_sessions(kind: str) -> int:
    from adapters.postgres.connection.budget import BUDGET

    return BUDGET.open_sessions().get(kind, 0)
