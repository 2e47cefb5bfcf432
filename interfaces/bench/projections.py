"""Benchmarks of the read side: catching up, lag, rebuild. Floor of the first and last: COPY out by the same client."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import psycopg

from interfaces.bench.bed import Bed
from interfaces.bench.figures import Figure, figure
from interfaces.bench.story_log import StoredRow, story_log

_COPY_IN = (
    "COPY gridproof.demand_response_events (originator_id, originator_version, topic, state) "
    "FROM STDIN (FORMAT BINARY)"
)
_COPY_OUT = "COPY gridproof.demand_response_events TO STDOUT (FORMAT BINARY)"
_CATCH_UP_BATCH = 5_000
_PER_SECOND, _SAVE = 2_000, 20
_READS_PER_SECOND = 1_000


def project(bed: Bed) -> list[Figure]:
    """Exactly-once catch-up of the runner, batch by batch, of a log that is all there."""
    from interfaces.bootstrap.bench_projections import read_side
    from projections.registry import projection_named

    wanted = bed.sized(200_000, least=500)
    with bed.database() as database, read_side(database.app_url) as side:
        count = _filled(bed, database.app_url, wanted)
        floor = count / _copy_out_s(database.app_url)
        figures = []
        for name in ("dr_events", "audit_trail"):
            began = time.perf_counter()
            side.runner(projection_named(name), batch_size=_CATCH_UP_BATCH).catch_up()
            rate = count / (time.perf_counter() - began)
            details: dict[str, float | str] = {"events": count, "batch": _CATCH_UP_BATCH}
            figures.append(
                figure(f"project {name}", unit="events/s", ours=rate, floor=floor, details=details)
            )
        return figures


def rebuild(bed: Bed) -> list[Figure]:
    """Rebuild of a folded read model and of one with a row per domain event, while 1,000 reads/s go on."""
    from interfaces.bootstrap.bench_projections import read_side
    from projections.registry import projection_named

    wanted = bed.sized(1_000_000, least=500)
    with bed.database() as database, read_side(database.app_url) as side:
        count = _filled(bed, database.app_url, wanted)
        floor = count / _copy_out_s(database.app_url)
        figures = []
        for label, name, workers in (
            ("folded", "dr_events", 1),
            ("folded, 2 processes", "dispatches", 2),
            ("one row per event", "audit_trail", 1),
        ):
            projection = projection_named(name)
            bed.tell(f"rebuild {name} of {count:,} domain events")
            side.maintenance.rebuild(projection)
            began = time.perf_counter()
            again = side.maintenance.rebuild(projection, workers=workers)
            rate = count / (time.perf_counter() - began)
            with _Readers(database.app_url, name) as readers:
                watched = side.maintenance.rebuild(projection, workers=workers)
            details: dict[str, float | str] = {
                "read model": name,
                "events": count,
                "events that concern it": again.domain_events,
                "rows": again.rows,
                "swap_ms": again.swap_ms,
                "swap_under_reads_ms": watched.swap_ms,
                "reads": readers.reads,
                "failed or empty reads": readers.bad,
                "longest read ms": round(readers.longest_s * 1000, 1),
            }
            figures.append(
                figure(f"rebuild, {label}", unit="events/s", ours=rate, floor=floor, details=details)
            )
        return figures


def lag(bed: Bed) -> list[Figure]:
    """From the commit of a save of 20 to its being visible in a read model, at 2,000 domain events/s."""
    from interfaces.bootstrap.bench_projections import read_side
    from projections.registry import projection_named

    saves = bed.sized(1_000, least=20)
    rows = list(islice(story_log(saves * _SAVE), saves * _SAVE))
    with bed.database() as database, read_side(database.app_url) as side:
        stop, committed, seen = threading.Event(), list[tuple[int, float]](), list[tuple[int, float]]()
        runner = threading.Thread(
            target=side.runner(projection_named("dr_events"), heartbeat_s=1.0).run, args=(stop,)
        )
        watcher = threading.Thread(target=_watch, args=(database.app_url, stop, seen))
        runner.start()
        watcher.start()
        try:
            costs_s = _save_steadily(database.app_url, rows, committed)
            side.waits.wait_for("dr_events", committed[-1][0], timeout_s=60)
            time.sleep(0.2)  # the watcher hears the same announcement
        finally:
            stop.set()
            runner.join()
            watcher.join()
        lags_s = sorted(_lags(committed, seen))
        floor_ms = sorted(costs_s)[len(costs_s) // 2] * 1000
        details: dict[str, float | str] = {
            "events/s": round(len(rows) / (committed[-1][1] - committed[0][1])),
            "saves": saves,
            "floor": "one commit of the same rows, median",
        }
        return [
            figure(
                f"lag, p{percent}",
                unit="ms",
                ours=lags_s[min(int(len(lags_s) * percent / 100), len(lags_s) - 1)] * 1000,
                floor=floor_ms,
                lower_is_better=True,
                details=details,
            )
            for percent in (50, 99)
        ]


def _filled(bed: Bed, url: str, wanted: int) -> int:
    bed.tell(f"storing {wanted:,} domain events")
    with psycopg.connect(url) as connection:
        _insert(connection, story_log(wanted))
        row = connection.execute("SELECT count(*) FROM gridproof.demand_response_events").fetchone()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE gridproof.demand_response_events")
    return int(row[0]) if row else 0


def _insert(connection: psycopg.Connection[Any], rows: Any) -> None:
    with connection.cursor().copy(_COPY_IN) as copy:
        copy.set_types(("uuid", "int8", "text", "bytea"))
        for row in rows:
            copy.write_row((row.originator_id, row.originator_version, row.topic, row.state))


def _copy_out_s(url: str) -> float:
    """The better of two."""
    taken: list[float] = []
    with psycopg.connect(url) as connection:
        for _ in range(2):
            began = time.perf_counter()
            with connection.cursor().copy(_COPY_OUT) as copy:
                for _block in copy:
                    pass
            taken.append(time.perf_counter() - began)
    return min(taken)


def _save_steadily(url: str, rows: Sequence[StoredRow], committed: list[tuple[int, float]]) -> list[float]:
    """Commits 20 rows each hundredth of a second, and announces them as the event store does; cost of each."""
    costs_s: list[float] = []
    with psycopg.connect(url, autocommit=True) as connection:
        due = time.perf_counter()
        for start in range(0, len(rows), _SAVE):
            due += _SAVE / _PER_SECOND
            time.sleep(max(due - time.perf_counter(), 0))
            began = time.perf_counter()
            with connection.transaction():
                _insert(connection, rows[start : start + _SAVE])
                connection.execute("NOTIFY demand_response_events")
            costs_s.append(time.perf_counter() - began)
            committed.append((start + _SAVE, time.perf_counter()))
    return costs_s


def _watch(url: str, stop: threading.Event, seen: list[tuple[int, float]]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN projection_positions")
        while not stop.is_set():
            seen.extend(
                (int(notify.payload.rpartition(" ")[2]), time.perf_counter())
                for notify in connection.notifies(timeout=0.1)
            )


def _lags(committed: Sequence[tuple[int, float]], seen: Sequence[tuple[int, float]]) -> list[float]:
    found, index = [], 0
    for position, at in committed:
        while index < len(seen) - 1 and seen[index][0] < position:
            index += 1
        found.append(max(seen[index][1] - at, 0.0))
    return found


class _Readers:
    """Reads the live rows a thousand times a second, and counts what is empty or fails."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._query = (
            f"SELECT key FROM gridproof.rm_{name} WHERE generation = (SELECT generation "  # noqa: S608 - a registry's name
            f"FROM gridproof.projection_positions WHERE name = '{name}') ORDER BY key LIMIT 1"
        ).encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.reads, self.bad, self.longest_s = 0, 0, 0.0

    def __enter__(self) -> _Readers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(1 / _READS_PER_SECOND):
                began = time.perf_counter()
                try:
                    row = connection.execute(self._query).fetchone()
                except psycopg.Error:
                    row = None
                self.reads += 1
                self.bad += row is None
                self.longest_s = max(self.longest_s, time.perf_counter() - began)
