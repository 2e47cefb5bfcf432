"""Benchmark dispatch: DR events over many buildings, from their starts to the last recorded commit (commit phase), and
from their ends to the last recorded restore (end phase).

Real processes (decide, two dispatch workers), real store, and SOAP buildings in separate processes that take 200 ms per
answer. Read models are excluded: the phases do not depend on them. Theory: the number of sequential answers at the
given concurrency. Floor: bare aiohttp with the same calls.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.dispatch.bms_floor import BareSeconds, bare_seconds
from tests.bench.dispatch.dispatch_setup import ANSWER_S, ZONES
from tests.bench.dispatch.fairness import fairness
from tests.bench.dispatch.phases import COMMITTED, RESTORED, Phase, at_once, facilities, system
from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure

if TYPE_CHECKING:
    from tests.span_collector import SpanSink

QUIET_S = 3.0
NOBODY = "http://127.0.0.1:9"


def dispatch(env: BenchEnvironment) -> Iterator[Figure]:
    """Seconds of both phases, compared with bare aiohttp and the theory; then beside what must not delay them."""
    run = _run(env, ends=True)
    details: dict[str, float | str] = {"calls": run.calls, "at_once": run.at_once, "theory_s": run.theory_s}
    shares = {f"worker_{n}_share": round(share, 3) for n, share in enumerate(run.commit.shares, 1)}
    yield figure(
        "dispatch, commit phase",
        unit="s",
        ours=run.took_s,
        floor=run.floor.commits,
        lower_is_better=True,
        details=details
        | _named(run.commit.cpu_s)
        | shares
        | {"floor": "the same commits by bare aiohttp from one process, encoded before, answers unread"},
    )
    if run.end is not None:
        yield figure(
            "dispatch, end phase",
            unit="s",
            ours=run.end.took_s[RESTORED],
            floor=run.floor.restores,
            lower_is_better=True,
            details=details
            | _named(run.end.cpu_s)
            | {"floor": "the same restores by bare aiohttp from one process, encoded before, answers unread"},
        )
    yield from fairness(env, run.took_s)


def dispatch_traced(env: BenchEnvironment) -> Iterator[Figure]:
    """Processor seconds of decide and dispatch in the commit phase: with spans to a collector, and to one that is away,
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
            details={**about, **_named(run.commit.cpu_s), "took_s": round(run.took_s, 2), "spans": sent},
        )


def _arrived(sink: SpanSink) -> int:
    """How many spans there are once no more arrive: the collector passes them on in batches."""
    found = -1
    while found != len(sink.spans):
        found = len(sink.spans)
        time.sleep(QUIET_S)
    return found


class Run(NamedTuple):
    """An undisturbed run, and its floor."""

    calls: int
    at_once: int
    floor: BareSeconds
    commit: Phase
    end: Phase | None

    @property
    def took_s(self) -> float:
        """Wall seconds of the commit phase."""
        return self.commit.took_s[COMMITTED]

    @property
    def theory_s(self) -> float:
        return math.ceil(self.calls / self.at_once) * ANSWER_S

    @property
    def all_cpu_s(self) -> float:
        """Processor seconds of the commit phase, at least what the kernel counts by."""
        return max(sum(self.commit.cpu_s.values()), 1 / os.sysconf("SC_CLK_TCK"))


def _run(env: BenchEnvironment, *, ends: bool = False, otlp_url: str | None = None) -> Run:
    count, calls_at_once = facilities(env), at_once(env)
    calls = count * ZONES
    env.report(f"dispatch: {calls} calls of {ANSWER_S:g} s, {calls_at_once} at once")
    with system(env, count, otlp_url=otlp_url) as running:
        floor = bare_seconds(running.entries, at_once=calls_at_once)
        env.report(f"dispatch: bare aiohttp took {floor.commits:.2f} s")
        dr_events = running.prepare(running.entries)
        commit = running.start(dr_events)
        end = running.end(dr_events) if ends else None
    return Run(calls, calls_at_once, floor, commit, end)


def _named(cpu_s: Mapping[str, float]) -> dict[str, float | str]:
    return {f"{name}_cpu_s": round(seconds, 2) for name, seconds in cpu_s.items()}
