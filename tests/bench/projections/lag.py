"""Benchmark of the lag from a commit to its being visible in a read model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import psycopg

from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure, percentile
from tests.bench.generated_log import StoredRow, generated_log
from tests.bench.stored_log import insert

if TYPE_CHECKING:
    from tests.bench.projections.setup import ReadSide

_PER_SECOND, _SAVE = 2_000, 20
_HEARD_WITHIN_S = 30.0
Moments = list[tuple[int, float]]
"""(position, time)."""


def lag(env: BenchEnvironment) -> Iterator[Figure]:
    """From the commit of a save of 20 to its being visible, at 2,000 domain events/s: one read model, then all."""
    from projections.registry import PROJECTIONS

    saves = env.sized(1_000, least=20)
    rows = list(islice(generated_log(saves * _SAVE), saves * _SAVE))
    yield from _measured(env, rows, ["dr_events"], "lag", percents=(50, 99))
    everyone = [projection.name for projection in PROJECTIONS]
    yield from _measured(env, rows, everyone, "lag beside all others", percents=(99,))


def _measured(
    env: BenchEnvironment,
    rows: Sequence[StoredRow],
    names: Sequence[str],
    label: str,
    *,
    percents: Sequence[int],
) -> list[Figure]:
    from tests.bench.projections.setup import read_side

    env.report(f"{label}: {', '.join(names)}")
    with env.database() as database, read_side(database.app_url) as side:
        committed, seen, costs_s = _followed(side, rows, names)
    floor_ms = sorted(costs_s)[len(costs_s) // 2] * 1000
    details: dict[str, float | str] = {
        "events/s": round(len(rows) / (committed[-1][1] - committed[0][1])),
        "saves": len(committed),
        "floor": "one commit of the same rows, median",
    }
    figures = []
    for name in names:
        lags_s = _lags(committed, seen[name])
        figures += [
            figure(
                f"{label}, {name}, p{percent}" if len(names) > 1 else f"{label}, p{percent}",
                unit="ms",
                ours=percentile(lags_s, percent) * 1000,
                floor=floor_ms,
                lower_is_better=True,
                details=details,
            )
            for percent in percents
        ]
    return figures


def _followed(
    side: ReadSide, rows: Sequence[StoredRow], names: Sequence[str]
) -> tuple[Moments, dict[str, Moments], list[float]]:
    """The commit time of each save, the time each read model had it, and the seconds each save took."""
    from projections.registry import projection_named

    stop, committed = threading.Event(), Moments()
    seen: dict[str, Moments] = {name: [] for name in names}
    threads = [
        threading.Thread(target=side.follower(projection_named(name)).run, args=(stop,)) for name in names
    ]
    threads.append(threading.Thread(target=_watch, args=(side.app_url, stop, seen)))
    for thread in threads:
        thread.start()
    try:
        costs_s = _save_steadily(side.app_url, rows, committed)
        for name in names:
            side.waits.wait_for(name, committed[-1][0], timeout_s=60)
        _until_heard(seen, committed[-1][0])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return committed, seen, costs_s


def _save_steadily(url: str, rows: Sequence[StoredRow], committed: Moments) -> list[float]:
    """Commit 20 rows every 10 ms and announce them as the event store does; returns the duration of each."""
    costs_s: list[float] = []
    with psycopg.connect(url, autocommit=True) as connection:
        due = time.perf_counter()
        for start in range(0, len(rows), _SAVE):
            due += _SAVE / _PER_SECOND
            time.sleep(max(due - time.perf_counter(), 0))
            began = time.perf_counter()
            with connection.transaction():
                insert(connection, rows[start : start + _SAVE])
                connection.execute("NOTIFY demand_response_events")
            costs_s.append(time.perf_counter() - began)
            committed.append((start + _SAVE, time.perf_counter()))
    return costs_s


def _watch(url: str, stop: threading.Event, seen: dict[str, Moments]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN projection_positions")
        while not stop.is_set():
            for notify in connection.notifies(timeout=0.1):
                name, _, position = notify.payload.rpartition(" ")
                if name in seen:
                    seen[name].append((int(position), time.perf_counter()))


def _until_heard(seen: dict[str, Moments], position: int) -> None:
    """Wait for the watcher, which may receive announcements a little later; a missed one has no lag."""
    deadline = time.monotonic() + _HEARD_WITHIN_S
    while not all(moments and moments[-1][0] >= position for moments in seen.values()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"position {position} was not heard of in {_HEARD_WITHIN_S:.0f} s")
        time.sleep(0.02)


def _lags(committed: Moments, seen: Moments) -> list[float]:
    found, index = [], 0
    for position, at in committed:
        while index < len(seen) - 1 and seen[index][0] < position:
            index += 1
        found.append(max(seen[index][1] - at, 0.0))
    return found
