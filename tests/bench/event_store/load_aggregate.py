"""Benchmark load_aggregate: loads by our store and the stock library, compared with a bare SELECT of the rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg

from application.event_store.demand_response import DemandResponse
from domain.event_sourcing.aggregate import Provenance
from domain.facility import Facility
from tests.bench.callers import calls_per_s
from tests.bench.environment import BenchDatabase, BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.rounds import best_of

SELECT = (
    b"SELECT * FROM gridproof.demand_response_events WHERE originator_id = %s ORDER BY originator_version"
)
LENGTHS = (10, 49, 120)
"""A short stream, the longest one without a snapshot, and one with 20 domain events after its newest snapshot."""


def load_aggregate(env: BenchEnvironment) -> Iterator[Figure]:
    """Loads per second by one caller, of streams of 10, 49 and 120 domain events: first and repeated loads."""
    with env.database() as database:
        for length in LENGTHS:
            yield from _figures(env, database, length)


def _figures(env: BenchEnvironment, database: BenchDatabase, length: int) -> list[Figure]:
    from tests.bench.stock_library import opened_stock_store

    each = max(1, env.sized(1_500) // env.rounds)
    env.report(f"load-aggregate: {each * env.rounds} streams of {length} domain events")
    with ExitStack() as stack:
        ours = stack.enter_context(_opened(database))
        stock = stack.enter_context(opened_stock_store(database.app_url))
        select = stack.enter_context(_selecting(database))
        warm_up, *streams = _saved_streams(database, 1 + each * env.rounds, length)
        for load in (partial(ours.load, Facility), partial(stock.load, Facility), select):
            load(warm_up)  # warm-up: connections and prepared statements
        best = best_of(
            {
                "first": _in_turn(partial(ours.load, Facility), streams, each),
                "again": lambda: calls_per_s(1, each, lambda _: ours.load(Facility, warm_up)),
                "stock": _in_turn(partial(stock.load, Facility), streams, each),
                "floor": _in_turn(select, streams, each),
            },
            rounds=env.rounds,
        )
    details: dict[str, float | str] = {
        "loads": each * env.rounds,
        "best_of_rounds": env.rounds,
        "floor": "SELECT of the stream's rows by psycopg, not decoded",
    }
    return [
        figure(
            f"load-aggregate, {length} domain events{', again' if which == 'again' else ''}",
            unit="loads/s",
            ours=best[which],
            floor=best["floor"],
            stock=best["stock"],
            details=details,
        )
        for which in ("first", "again")
    ]


def _in_turn(load: Callable[[UUID], object], streams: Sequence[UUID], each: int) -> Callable[[], float]:
    """Load every stream once, spread over all rounds."""
    remaining = iter(streams)
    return lambda: calls_per_s(1, each, lambda _: load(next(remaining)))


@contextmanager
def _selecting(database: BenchDatabase) -> Iterator[Callable[[UUID], object]]:
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        yield lambda stream_id: connection.execute(SELECT, (stream_id,), prepare=True).fetchall()


@contextmanager
def _opened(database: BenchDatabase) -> Iterator[Any]:
    from tests.bench.setup import open_bench_stores

    stores = open_bench_stores(database.app_url)
    try:
        yield stores.events
    finally:
        stores.close()


def _saved_streams(database: BenchDatabase, count: int, length: int) -> list[UUID]:
    """Saved by another store, so that the measured store has none of them cached."""
    interval = DemandResponse.snapshot_intervals[Facility]
    saved: list[UUID] = []
    numbers = itertools.count()
    with _opened(database) as store:
        while len(saved) < count:
            facility = _registered(f"bench-{length}-{next(numbers)}")
            if length > interval:
                store.save([_grown(facility, length - length % interval)])  # long enough for a snapshot
                if 0 < facility.id.int % interval <= length % interval:
                    continue  # its turn for the next one comes before its end
            store.save([_grown(facility, length)])
            saved.append(facility.id)
    return saved


def _registered(facility_id: str) -> Facility:
    return Facility.register(
        _provenance(), facility_id=facility_id, tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )


def _grown(facility: Facility, length: int) -> Facility:
    while facility.version < length:
        if facility.state.status == "active":
            facility.start_maintenance(_provenance(), reason="bench")
        else:
            facility.end_maintenance(_provenance())
    return facility


def _provenance() -> Provenance:
    return Provenance(
        correlation_id=uuid4(),
        causation_id=uuid4(),
        actor="bench",
        tenant=None,
        trace_id="0" * 32,
        recorded_at=datetime(2026, 7, 14, 12, tzinfo=UTC),
    )
