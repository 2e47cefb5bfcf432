"""What a process takes, computed from the phases of a capacity run."""

from dataclasses import replace

import pytest

from application.operations.sizing.measured import PROCESSOR
from tests.bench.capacity.comparison import processor_use
from tests.bench.capacity.run import Phase, Run
from tests.bench.capacity.usage import Usage

IDLE_MS, PACK_MS, REQUEST_MS, DISPATCH_MS = 10.0, 0.2, 3.0, 40.0
NOTHING = Usage(
    at_s=0.0,
    cpu_s={"postgres": 0.0},
    table_bytes={},
    domain_events=0,
    forecast_records=0,
    readings=0,
    wal_bytes=0,
    archived_wal_bytes=0,
    database_bytes=0,
    stream_bytes=0,
    stream_messages=0,
)


def phase(*, seconds: float, packs: int, requests: int = 0, dispatches: int = 0) -> Phase:
    """Of a PostgreSQL whose work costs exactly the figures above."""
    readings = 2 * packs
    spent_ms = IDLE_MS * seconds + PACK_MS * packs + REQUEST_MS * requests + DISPATCH_MS * dispatches
    cpu_s = spent_ms / 1e3 + PROCESSOR["postgres"].reading_us * readings / 1e6
    ended = replace(
        NOTHING, at_s=seconds, cpu_s={"postgres": cpu_s}, readings=readings, stream_messages=packs
    )
    return Phase(NOTHING, ended, requests=requests, dispatches=dispatches)


def test_each_cause_gets_what_its_phase_adds() -> None:
    run = Run(200, 2_000, 20, 200)
    run.phases = {
        "nothing": phase(seconds=100, packs=0),
        "meters": phase(seconds=100, packs=7_000),
        "users": phase(seconds=100, packs=7_000, requests=700),
        "quarter-hour": phase(seconds=300, packs=21_000, requests=2_100),
        "DR event": phase(seconds=1_000, packs=70_000, requests=7_000, dispatches=200),
    }
    found = processor_use(run, "postgres")
    assert found.idle_ms_per_s == pytest.approx(IDLE_MS)
    assert found.pack_ms == pytest.approx(PACK_MS)
    assert found.request_ms == pytest.approx(REQUEST_MS)
    assert found.dispatch_ms == pytest.approx(DISPATCH_MS)
