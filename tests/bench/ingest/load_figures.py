"""Converts the measurements of a load to figures."""

from __future__ import annotations

from typing import NamedTuple

from interfaces.simulators.meters.load_plan import LoadAudit
from tests.bench.figures import Figure, figure
from tests.bench.ingest.floor import Bare, Details, us
from tests.bench.ingest.load import Sent
from tests.bench.ingest.readable import Readable


class Measured(NamedTuple):
    """The measurements of one load."""

    load: Sent
    took_s: float
    """Seconds until all readings were stored."""
    hops_s: dict[str, float]
    """Processor time by hop."""
    latencies_ms: tuple[float, float, float]
    """From due to committed: p50, p99 and maximum."""
    found: LoadAudit
    shown: Readable
    settled: int
    """Readings of an earlier quarter-hour that were finalized during the load."""
    rows_before: int
    rollups_us: float


def figures_of(name: str, measured: Measured, floor: Bare) -> list[Figure]:
    """Processor time per reading, and latency to the store."""
    p50, _, longest = (round(one, 1) for one in measured.latencies_ms)
    return [
        figure(
            f"{name}, CPU of a reading",
            unit="us",
            ours=us(sum(measured.hops_s.values()), measured.load.report.readings),
            floor=floor.cpu_us,
            lower_is_better=True,
            details={**_details(measured), **floor.details},
        ),
        figure(
            f"{name}, p99 until committed",
            unit="ms",
            ours=measured.latencies_ms[1],
            floor=floor.p99_ms,
            lower_is_better=True,
            details={"p50_ms": p50, "max_ms": longest},
        ),
    ]


def _details(measured: Measured) -> Details:
    load, found, shown = measured.load, measured.found, measured.shown
    p50, p99, longest = (round(one, 1) for one in measured.latencies_ms)
    readings = load.report.readings
    return {
        **{f"{name} us": us(spent, readings) for name, spent in measured.hops_s.items()},
        "rollups us, alone": measured.rollups_us,
        "generator us": us(load.cpu_s, readings),
        "cores": round(sum(measured.hops_s.values()) / measured.took_s, 2),
        "readings": readings,
        "readings/s": load.report.readings_per_s,
        "settled beside it": measured.settled,
        "rows before": measured.rows_before,
        "lost": found.lost,
        "duplicated": found.duplicated,
        "foreign": found.foreign,
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": longest,
        "over the API: asked": shown.queried,
        "over the API: p50_ms": shown.p50_ms,
        "over the API: longest_ms not shown": shown.longest_ms,
        "generator behind_s": load.report.longest_behind_s,
    }
