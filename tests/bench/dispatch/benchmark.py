"""Benchmark dispatch: the commit phase of many buildings, from the start of DR events to the last recorded commit.

Real processes (relay, two dispatch workers), real store, real queue, and SOAP buildings in separate processes that take
200 ms per answer. Read models are excluded: the commit phase does not depend on them. Theory: the number of sequential
answers at the given concurrency. Floor: bare aiohttp with the same calls.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import psycopg

from application.commands.dr_event import StartDREvent, StartPreparation
from interfaces.bootstrap.stores import Stores
from tests.bench.dispatch.bms_floor import bare_seconds
from tests.bench.dispatch.dispatch_setup import ANSWER_S, CONTEXT, NOTICE, ZONES, accepted, running, served
from tests.bench.dispatch.setup import bench_queue, bench_settings, stores_at
from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure

if TYPE_CHECKING:
    from tests.span_collector import SpanSink

FACILITIES, CALLS_AT_ONCE = 500, 100
PATIENCE_S = 180.0
QUIET_S = 3.0
NOBODY = "http://127.0.0.1:9"


def dispatch(env: BenchEnvironment) -> Iterator[Figure]:
    """Seconds of the commit phase, compared with bare aiohttp and the theory."""
    run = _run(env)
    theory = math.ceil(run.calls / run.at_once) * ANSWER_S
    details: dict[str, float | str] = {
        "calls": run.calls,
        "at_once": run.at_once,
        "theory_s": theory,
        **_named(run.cpu_s),
        "floor": "the same commits by bare aiohttp from one process, encoded before, answers unread",
    }
    yield figure(
        "dispatch, commit phase",
        unit="s",
        ours=run.took_s,
        floor=run.floor_s,
        lower_is_better=True,
        details=details,
    )


def dispatch_traced(env: BenchEnvironment) -> Iterator[Figure]:
    """Processor seconds of relay and dispatch in the commit phase: with spans to a collector, and to one that is away,
    compared with a run before and one after without spans."""
    from tests.span_collector import collector

    before = _run(env)
    with tempfile.TemporaryDirectory(prefix="gridproof-bench-") as folder, collector(Path(folder)) as sink:
        traced = _run(env, otlp_url=sink.url)
        spans = _arrived(sink)
    away = _run(env, otlp_url=NOBODY)
    after = _run(env)
    floor = (before.all_cpu_s + after.all_cpu_s) / 2
    about = {
        "calls": traced.calls,
        "without_s": round(before.took_s, 2),
        "without_again_s": round(after.took_s, 2),
    }
    for name, run, sent in (("to a collector", traced, spans), ("collector away", away, 0)):
        yield figure(
            f"dispatch with spans, {name}",
            unit="CPU s",
            ours=run.all_cpu_s,
            floor=floor,
            lower_is_better=True,
            details={**about, **_named(run.cpu_s), "took_s": round(run.took_s, 2), "spans": sent},
        )


def _arrived(sink: SpanSink) -> int:
    """How many spans there are once no more arrive: the collector passes them on in batches."""
    found = -1
    while found != len(sink.spans):
        found = len(sink.spans)
        time.sleep(QUIET_S)
    return found


class CommitPhase(NamedTuple):
    """One run. Wall seconds of ours and of the floor, and processor seconds by kind of worker."""

    calls: int
    at_once: int
    took_s: float
    floor_s: float
    cpu_s: dict[str, float]

    @property
    def all_cpu_s(self) -> float:
        """At least what the kernel counts by."""
        return max(sum(self.cpu_s.values()), 1 / os.sysconf("SC_CLK_TCK"))


def _run(env: BenchEnvironment, otlp_url: str | None = None) -> CommitPhase:
    count = env.sized(FACILITIES, least=2)
    at_once = min(CALLS_AT_ONCE, count)
    calls = count * ZONES
    env.report(f"dispatch: {calls} calls of {ANSWER_S:g} s, {at_once} at once")
    with ExitStack() as stack:
        database = stack.enter_context(env.database())
        nats_url = stack.enter_context(bench_queue())
        entries = stack.enter_context(served(count))
        floor = bare_seconds(entries, at_once=at_once)
        env.report(f"dispatch: bare aiohttp took {floor:.2f} s")
        settings = replace(
            bench_settings(database.app_url, nats_url, calls_at_once=at_once), otlp_url=otlp_url
        )
        log = stack.enter_context(psycopg.connect(database.owner_url, autocommit=True))
        now = datetime.now(UTC)
        dr_event_ids = accepted(settings, entries, now)
        workers = stack.enter_context(running(settings))
        stores = stack.enter_context(closing(stores_at(settings, now + NOTICE)))
        took, cpu_s = _commit_phase(stores, log, workers, dr_event_ids=dr_event_ids, count=count)
    return CommitPhase(calls, at_once, took, floor, cpu_s)


def _named(cpu_s: Mapping[str, float]) -> dict[str, float | str]:
    return {f"{name}_cpu_s": round(seconds, 2) for name, seconds in cpu_s.items()}


def _commit_phase(
    stores: Stores,
    log: psycopg.Connection[tuple[object, ...]],
    workers: Sequence[BaseProcess],
    *,
    dr_event_ids: Sequence[UUID],
    count: int,
) -> tuple[float, dict[str, float]]:
    """Wall seconds from the starts to the last `Dispatch.Committed`; processor seconds by kind of worker."""
    recorded = Recorded(log)
    _until(workers, lambda: recorded.number_of("dr-event.scheduled.v1") == len(dr_event_ids))
    for dr_event_id in dr_event_ids:
        stores.bus.handle(StartPreparation(dr_event_id=dr_event_id), CONTEXT)
    _until(workers, lambda: recorded.number_of("dispatch.prepared.v1") == count)
    _until_quiet(workers)
    cpu_before, began = _cpu_s(workers), time.perf_counter()
    for dr_event_id in dr_event_ids:
        stores.bus.handle(StartDREvent(dr_event_id=dr_event_id), CONTEXT)
    _until(workers, lambda: recorded.number_of("dispatch.committed.v1") >= count)
    took, cpu = time.perf_counter() - began, _cpu_s(workers)
    return took, {name: seconds - cpu_before[name] for name, seconds in cpu.items()}


def _until(workers: Sequence[BaseProcess], there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not there():
        if any(not worker.is_alive() for worker in workers):
            raise RuntimeError("a worker process of the benchmark ended")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the benchmark did not come to its end in {PATIENCE_S:.0f} s")
        time.sleep(0.02)


def _until_quiet(workers: Sequence[BaseProcess]) -> None:
    """Wait until the workers have finished all earlier work."""
    idle = 0
    while idle < 3:
        before = sum(_cpu_s(workers).values())
        time.sleep(0.5)
        idle = idle + 1 if sum(_cpu_s(workers).values()) - before < 0.25 else 0


class Recorded:
    """Counts domain events by topic. It reads each event only once, since it is polled fifty times a second."""

    def __init__(self, log: psycopg.Connection[tuple[object, ...]]) -> None:
        self._log = log
        self._position = 0
        self._numbers: Counter[str] = Counter()

    def number_of(self, topic: str) -> int:
        rows = self._log.execute(
            "SELECT notification_id, topic FROM gridproof.demand_response_events WHERE notification_id > %s",
            (self._position,),
        ).fetchall()
        for position, found in rows:
            self._position = max(self._position, int(str(position)))
            self._numbers[str(found)] += 1
        return self._numbers[topic]


def _cpu_s(processes: Sequence[BaseProcess]) -> dict[str, float]:
    """User and system time so far, by the processes' names."""
    spent: dict[str, float] = {}
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        spent[process.name] = spent.get(process.name, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
    return spent
