"""Benchmark settle: a DR event over 10,000 facilities is settled and recorded, and again after a correction of one.

The floor reads the same domain events and writes a document of that size, with no computation in between: a bare
SELECT, and INSERT + COMMIT of the compressed document.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID, uuid4

import psycopg

from application.command_bus.decision_context import CommandContext
from application.commands.dr_event import SettleDREvent, SettlementOutcome
from domain.dr_event import DREvent
from domain.identifiers import dispatch_id
from interfaces.bootstrap.stores import Stores
from tests.bench.environment import BenchDatabase, BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.settlement.setup import record_corrected, record_measured, record_program
from tests.bench.setup import open_bench_stores

FACILITIES, LEAST = 10_000, 20
ROUNDS, CORRECTIONS = 2, 5
CONTEXT = CommandContext(
    correlation_id=UUID(int=1), causation_id=UUID(int=2), actor="bench", tenant=None, trace_id="0" * 32
)
SELECT = "SELECT topic, state FROM gridproof.demand_response_events WHERE originator_id = ANY(%s)"
WRITTEN = "SELECT document FROM gridproof.settlements WHERE dr_event_id = %s"
INSERT = "INSERT INTO gridproof.settlements (dr_event_id, digest, revision, document) VALUES (%s, %s, 0, %s)"


@dataclass
class _Measured:
    """Wall and CPU seconds of the settlements, and wall seconds of the floor."""

    first: list[tuple[float, float]] = field(default_factory=list)
    again: list[tuple[float, float]] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)


def settle(env: BenchEnvironment) -> Iterator[Figure]:
    """Seconds, less is better: the first settlement, and that after another measurement of one facility."""
    facilities = env.sized(FACILITIES, least=LEAST)
    rounds = ROUNDS if env.rounds > 1 else 1
    measured = _Measured()
    with env.database() as database:
        with closing(open_bench_stores(database.app_url)) as stores:
            record_program(stores)
        for number in range(rounds):
            env.report(f"settle: round {number + 1} of {rounds}, {facilities} facilities")
            with closing(open_bench_stores(database.app_url)) as stores:
                dr_event_id = record_measured(stores, facilities, name=f"bench-{number}")
            with closing(open_bench_stores(database.app_url)) as stores:  # nothing is cached
                _measure(stores, database, dr_event_id, measured)
    (first_s, first_cpu_s), (again_s, again_cpu_s) = min(measured.first), min(measured.again)
    details: dict[str, float | str] = {
        "facilities": facilities,
        "best_of": rounds,
        "floor": "SELECT of the domain events, INSERT + COMMIT of the document",
    }
    yield figure(
        "settle",
        unit="s",
        ours=first_s,
        floor=min(measured.floors),
        lower_is_better=True,
        details=details | {"CPU, s": round(first_cpu_s, 3)},
    )
    yield figure(
        "settle, one facility corrected",
        unit="s",
        ours=again_s,
        floor=min(measured.floors),
        lower_is_better=True,
        details=details
        | {"CPU, s": round(again_cpu_s, 3), "of the first settlement": round(again_s / first_s, 3)},
    )


def _measure(stores: Stores, database: BenchDatabase, dr_event_id: UUID, measured: _Measured) -> None:
    measured.first.append(_timed(partial(_settle, stores, dr_event_id, revision=0)))
    for number in range(CORRECTIONS):
        record_corrected(stores, dr_event_id, number)
        measured.again.append(_timed(partial(_settle, stores, dr_event_id, revision=number + 1)))
    measured.floors.append(_floor(database, stores, dr_event_id))


def _settle(stores: Stores, dr_event_id: UUID, *, revision: int) -> None:
    outcome = stores.bus.handle(SettleDREvent(dr_event_id=dr_event_id, why="bench"), CONTEXT)
    if not isinstance(outcome, SettlementOutcome) or (outcome.revision, outcome.recorded) != (revision, True):
        raise RuntimeError(f"not settled as revision {revision}: {outcome}")


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    begun, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - cpu


def _floor(database: BenchDatabase, stores: Stores, dr_event_id: UUID) -> float:
    """Seconds of reading and writing alone."""
    dr_event = stores.events.load(DREvent, dr_event_id)
    streams = [dr_event_id, *(dispatch_id(dr_event_id, one) for one in dr_event.state.dispatched)]
    with psycopg.connect(database.app_url) as connection:
        row = connection.execute(WRITTEN, (dr_event_id,)).fetchone()
        document = b"" if row is None else row[0]
        begun = time.perf_counter()
        connection.execute(SELECT, (streams,), binary=True).fetchall()
        connection.execute(INSERT, (uuid4(), b"0" * 32, document), binary=True)
        connection.commit()
        return time.perf_counter() - begun
