"""Benchmark of rebuilds and their effect on readers. Its floor: COPY out by the same client, in the same run."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.projections.readers import Reads, reading
from tests.bench.stored_log import copy_out_s, filled

_RUNS = (
    ("folded", "dr_events", 1),
    ("folded, 2 processes", "dispatches", 2),
    ("one row per event", "audit_trail", 1),
    ("one row per event, 2 processes", "audit_trail", 2),
)


def rebuild(env: BenchEnvironment) -> Iterator[Figure]:
    """Rebuild of folded read models and of one with a row per domain event; and again while 1,000 reads/s go on."""
    from projections.registry import projection_named
    from tests.bench.projections.setup import read_side

    wanted = env.sized(1_000_000, least=500)
    with env.database() as database, read_side(database.app_url) as side:
        count = filled(env, database.app_url, wanted)
        floor = count / copy_out_s(database.app_url)
        for label, name, workers in _RUNS:
            projection = projection_named(name)
            env.report(f"rebuild {name} of {count:,} domain events")
            done = side.maintenance.rebuild(projection, workers=workers)
            with reading(database.app_url, name, side.table_of(projection)) as reads:
                watched = side.maintenance.rebuild(projection, workers=workers)
            details: dict[str, float | str] = {
                "read model": name,
                "events": count,
                "events that concern it": done.domain_events,
                "rows": done.rows,
                "swap_ms": done.swap_ms,
                "swap_under_reads_ms": watched.swap_ms,
                **_said(reads),
            }
            yield figure(
                f"rebuild, {label}", unit="events/s", ours=count / done.seconds, floor=floor, details=details
            )


def _said(reads: Reads) -> dict[str, float | str]:
    return {
        "reads": reads.reads,
        "reads per second": round(reads.reads / reads.seconds) if reads.seconds else 0,
        "failed reads": reads.failed,
        "empty reads": reads.empty,
        "longest read ms": round(reads.longest_s * 1000, 1),
    }
