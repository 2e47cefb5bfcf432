"""Benchmark append: durable saves by our store, the stock library, and plain INSERT + COMMIT with as many clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count
from typing import Any

from eventsourcing.persistence import StoredEvent

from application.event_store.open_work import NewWork
from tests.bench.callers import calls_per_s
from tests.bench.environment import BenchDatabase, BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.plain_inserts import STATE, TOPIC, plain_inserts, rows_of
from tests.bench.rounds import best_of


def append(env: BenchEnvironment) -> Iterator[Figure]:
    """Saves of one domain event by 1, 16 and 64 callers."""
    for callers in (1, 16, 64):
        yield _figure(env, callers, events=1)


def append_batch(env: BenchEnvironment) -> Iterator[Figure]:
    """Saves of four domain events by 64 callers."""
    yield _figure(env, 64, events=4)


def append_with_work(env: BenchEnvironment) -> Iterator[Figure]:
    """Saves by 64 callers of which each fourth, and each, has a row of open work, beside the same saves without."""
    for events in (1, 4):
        yield from _figures_with_work(env, callers=env.callers(64), events=events)


def _figures_with_work(env: BenchEnvironment, *, callers: int, events: int) -> Iterator[Figure]:
    from tests.bench.setup import opened_recorder

    each = max(1, env.sized(24_000) // (callers * env.rounds))
    env.report(f"append with open work: {callers} callers, {each * callers} saves of {events} a round")
    with env.database() as database, opened_recorder(database.app_url) as recorder:
        rates = best_of(
            {
                share: partial(_saves_with_work_per_s, recorder, callers, each, events, every)
                for share, every in (("no", 0), ("a quarter of", 4), ("all", 1))
            },
            rounds=env.rounds,
        )
    for share in ("a quarter of", "all"):
        yield figure(
            f"append, {callers} callers, {events} a save, {share} the saves with open work",
            unit="saves/s",
            ours=rates[share],
            floor=rates["no"],
            details={"floor": "the same saves without open work", "best_of_rounds": env.rounds},
        )


def _saves_with_work_per_s(recorder: Any, callers: int, each: int, events: int, every: int) -> float:
    """Each `every`-th save has a row, 0: none has."""
    from adapters.postgres.event_store.save_request import Save

    numbers = count(1)

    def save(_: int) -> None:
        number = next(numbers)
        has_work = every > 0 and number % every == 0
        work = [NewWork(0, "bms", f"facility-{number % 500}")] if has_work else []
        recorder.saves.get(Save([StoredEvent(*row) for row in rows_of(events)], open_work=work))

    return calls_per_s(callers, each, save)


def _figure(env: BenchEnvironment, callers: int, *, events: int) -> Figure:
    total = env.sized({1: 3_000, 16: 12_000}.get(callers, 24_000))
    callers = env.callers(callers)
    each = max(1, total // (callers * env.rounds))
    env.report(f"append: {callers} callers, {each * callers} saves of {events} a round")
    with env.database() as database:
        best = _measured(database, callers, each, events, rounds=env.rounds)
    ours, stock = best.pop("ours"), best.pop("stock")
    strictest = max(best, key=lambda name: best[name])
    return figure(
        f"append, {callers} callers, {events} a save",
        unit="saves/s",
        ours=ours,
        floor=best[strictest],
        stock=stock,
        details={
            "saves": each * callers * env.rounds,
            "bytes_a_domain_event": len(STATE) + len(TOPIC) + 24,
            "floor": strictest,
            "best_of_rounds": env.rounds,
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
