"""Benchmark of catching up. Its floor: COPY out by the same client, in the same run."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.stored_log import copy_out_s, filled


def project(env: BenchEnvironment) -> Iterator[Figure]:
    """Exactly-once catch-up of the projector over a complete log, batch by batch."""
    from projections.registry import projection_named
    from tests.bench.projections.setup import read_side

    wanted = env.sized(200_000, least=500)
    with env.database() as database, read_side(database.app_url) as side:
        count = filled(env, database.app_url, wanted)
        floor = count / copy_out_s(database.app_url)
        for name in ("dr_events", "dispatches", "audit_trail"):
            began, busy_s = time.perf_counter(), time.process_time()
            side.projector(projection_named(name)).catch_up()
            rate = count / (time.perf_counter() - began)
            details: dict[str, float | str] = {
                "events": count,
                "cpu us per event, ours without the server": _us(time.process_time() - busy_s, count),
            }
            yield figure(f"project {name}", unit="events/s", ours=rate, floor=floor, details=details)


def _us(busy_s: float, count: int) -> float:
    return round(busy_s / count * 1e6, 1)
