"""Durable saves: ours, the library's, and plain INSERT + COMMIT of the same rows with as many clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from eventsourcing.persistence import StoredEvent

from tests.bench.callers import calls_per_s
from tests.bench.environment import Bed, BenchDatabase
from tests.bench.figures import Figure, figure
from tests.bench.plain_inserts import STATE, TOPIC, plain_inserts, rows_of
from tests.bench.rounds import best_of


def append(bed: Bed) -> Iterator[Figure]:
    """Saves of one domain event by 1, 16 and 64 callers."""
    for callers in (1, 16, 64):
        yield _figure(bed, callers, events=1)


def append_batch(bed: Bed) -> Iterator[Figure]:
    """Saves of four domain events by 64 callers."""
    yield _figure(bed, 64, events=4)


def _figure(bed: Bed, callers: int, *, events: int) -> Figure:
    total = bed.sized({1: 3_000, 16: 12_000}.get(callers, 24_000))
    callers = bed.callers(callers)
    each = max(1, total // (callers * bed.rounds))
    bed.tell(f"append: {callers} callers, {each * callers} saves of {events} a round")
    with bed.database() as database:
        best = _measured(database, callers, each, events, rounds=bed.rounds)
    ours, stock = best.pop("ours"), best.pop("stock")
    strictest = max(best, key=lambda name: best[name])
    return figure(
        f"append, {callers} callers, {events} a save",
        unit="saves/s",
        ours=ours,
        floor=best[strictest],
        stock=stock,
        details={
            "saves": each * callers * bed.rounds,
            "bytes_a_domain_event": len(STATE) + len(TOPIC) + 24,
            "floor": strictest,
            "best_of_rounds": bed.rounds,
            **{f"{name}, per s": round(rate) for name, rate in best.items()},
            **{f"ratio to {name}": round(ours / rate, 3) for name, rate in best.items()},
        },
    )


def _measured(
    database: BenchDatabase, callers: int, each: int, events: int, *, rounds: int
) -> dict[str, float]:
    from tests.bench.setup import opened_recorder

    with ExitStack() as stack:
        ours = stack.enter_context(opened_recorder(database.app_url))
        stock = stack.enter_context(opened_recorder(database.app_url, is_stock=True))
        floors = stack.enter_context(plain_inserts(database, callers=callers, events=events))
        return best_of(
            {
                "ours": partial(_saves_per_s, ours, callers, each, events),
                "stock": partial(_saves_per_s, stock, callers, max(1, each // 5), events),
                **{name: partial(rate, each) for name, rate in floors.items()},
            },
            rounds=rounds,
        )


def _saves_per_s(recorder: Any, callers: int, each: int, events: int) -> float:
    return calls_per_s(
        callers, each, lambda _: recorder.insert_events([StoredEvent(*row) for row in rows_of(events)])
    )
