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

if TYPE_CHECKING:
    from interfaces.settings.settings import Settings

POOL_SIZE, AGGREGATE_POOL_SIZE, WEB_POOL_SIZE = 4, 8, 16
"""Sessions of the main pool; it opens one at first, and more while they are needed. The aggregate worker writes and
finalizes several partitions at once."""
EVENT_STORE = 3
"""Group commit; loads of aggregates; and one for the log, keys and snapshots. Each is opened when it is first used."""
LIVE_LOG_POOL_SIZE = 3
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

_STORES: dict[str, int] = {"pool": POOL_SIZE, "event_store": EVENT_STORE}
"""What a process opens (`open_stores`) that records decisions."""
_BY_PROCESS: dict[str, dict[str, int]] = {
    "web": {"pool": WEB_POOL_SIZE, "listen": 1, "live_log": LIVE_LOG_POOL_SIZE + 1, "waits": 1},
    "relay": {"locks": 1, "listen": 1},
    "schedule": {"locks": 1},
    "dispatch": {"locks": 1},
    "notify": {"locks": 1},
    "measure": {"locks": 1},
    "project": {"event_store": 0},
    "ingest": {"event_store": 0, "locks": 1},
    "aggregate": {"pool": AGGREGATE_POOL_SIZE, "event_store": 0, "locks": 1},
    "archive": {"event_store": 0, "locks": 1},
    "forecast": {"locks": 1, "event_store": 2 * EVENT_STORE},
    "cli": {"waits": 1},
}
"""`gridproof worker NAME`, and `cli` for any other command. Beside it `projections rebuild` opens one session, and two
for each process that it folds in; commands are not held to their budget."""
DEFAULT_PROCESSES: Mapping[str, int] = dict.fromkeys(_BY_PROCESS, 1) | {"dispatch": 2}
"""What `gridproof up` starts, and one command beside it."""


def connection_budget(process: str, settings: Settings) -> dict[str, int]:
    """Kind -> sessions at most, of one process."""
    budget = _STORES | _BY_PROCESS[process]
    if process == "project":
        from projections.registry import PROJECTIONS

        budget["projections"] = len(PROJECTIONS) + 1  # and the ledger
        budget["rebuilds"] = REBUILD * len(PROJECTIONS)  # after an upgrade, all of them at once
    return budget


def budget_of_worker(process: str, settings: Settings) -> int:
    """Sessions at most, of one process; 0 for one that this release does not know."""
    return sum(connection_budget(process, settings).values()) if process in _BY_PROCESS else 0


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

    BUDGET.set_limits(connection_budget(process, settings) | {"replica": WEB_POOL_SIZE, "survey": 1}, kind_of)


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
