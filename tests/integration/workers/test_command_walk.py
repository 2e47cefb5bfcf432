"""The walk of docs/architecture.md from the recorded acceptance to the buildings is the way of the real processes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg

from tests.architecture.test_architecture_page import STEP, walks
from tests.chaos.small_system import SmallSystem, served_buildings
from tests.servers import Database

WALK = "A command to a building"
ASIDE = (
    "adapters/certificates",
    "adapters/clock",
    "adapters/postgres/audit/",
    "adapters/postgres/event_store/errors",
    "adapters/postgres/operations/act_log",
    "adapters/postgres/operations/alerts",
    "adapters/postgres/operations/heartbeats",
    "adapters/postgres/operations/system_clock",
    "adapters/postgres/read_model/",
    "adapters/postgres/connection/",
    "adapters/postgres/coordination/session_locks",
    "adapters/postgres/wire_format/",
    "adapters/prometheus",
    "adapters/tls",
    "application/async_batcher",
    "application/bounded_cache",
    "application/command_bus/retry",
    "application/command_bus/spans",
    "application/command_bus/trace_context",
    "application/operations/",
    "application/ports/",
    "domain/event_sourcing/",
    "domain/identifiers",
    "domain/time_series/",
    "domain/units",
    "interfaces/bootstrap/",
    "interfaces/cli/",
    "interfaces/failpoints",
    "interfaces/gc_tuning",
    "interfaces/logs",
    "interfaces/readiness",
    "interfaces/settings/",
    "interfaces/workers/dispatch/breaker_alerts",
    "interfaces/workers/dispatch/metrics",
    "interfaces/workers/dispatch/reconcile",
    "interfaces/workers/loops/cache_metrics",
    "interfaces/workers/loops/observer",
    "interfaces/workers/loops/p",
    "interfaces/workers/loops/side_task",
    "projections/",
)
"""Value objects, caches, clocks, connections, encodings, metrics and reports."""
FOLDING = ("evolve", "initial_state")
WORKERS = ("decide", "dispatch")


def traced(folder: Path) -> list[str]:
    """The functions that another file called, in the order of the first calls of all processes."""
    first: dict[str, int] = {}
    for name in WORKERS:
        for line in (folder / f"{name}.calls").read_text().splitlines():
            at, call = line.split(" ")
            first[call] = min(int(at), first.get(call, int(at)))
    return sorted(first, key=first.__getitem__)


def is_step(call: str) -> bool:
    path, _, name = call.partition("::")
    last = name.rpartition(".")[2]
    return (
        not path.startswith(ASIDE) and "<" not in name and last not in FOLDING and not last.startswith("__")
    )


def at_work(session: psycopg.Connection[tuple[str]]) -> set[str]:
    """The kinds of process that have reported."""
    return {worker for (worker,) in session.execute("SELECT worker FROM gridproof.process_heartbeats")}


def test_each_step_of_the_walk_to_a_building_is_called_between_acceptance_and_commit(
    database: Database, nats_url: str, tmp_path: Path
) -> None:
    system = SmallSystem(database, nats_url, tmp_path, "", is_traced=True)
    with contextlib.closing(system), served_buildings(system) as bms_url:
        system.start_processes()
        with psycopg.connect(database.admin_dsn, autocommit=True) as session:
            system.until("processes at work", lambda: at_work(session) >= set(WORKERS))
        system.begin_traces()
        system.accept(bms_url)
        system.until_scheduled()
        system.prepare()
        system.start()
    steps = [call for call in traced(tmp_path) if is_step(call)]
    listed = [f"{path}::{name}" for path, name in STEP.findall(walks()[WALK])]
    missing = [step for step in listed if step not in steps]
    walk = "\n".join(f"{number}. `{step}`" for number, step in enumerate(steps, 1))
    assert missing == [], (
        f"docs/architecture.md lists calls that were not made, {missing}; the walk is now\n{walk}"
    )
