"""Benchmark verify: recomputing the whole ledger, compared with COPY out of the same rows without hashing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.bench.environment import BenchDatabase, BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.rounds import timed

DOMAIN_EVENTS = 1_000_000
STATE_BYTES = 280
_FILL = """
INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state)
SELECT gen_random_uuid(), 1, 'dispatch.bms-command-requested.v1', convert_to(rpad(concat(
    '{"recorded_at":"', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","number":', number
), %s, 'x'), 'UTF8') FROM generate_series(1, %s) AS number
"""
_COPY = (
    "COPY (SELECT notification_id, originator_id, originator_version, topic, state "
    "FROM gridproof.demand_response_events ORDER BY notification_id) TO STDOUT (FORMAT BINARY)"
)


class DoesNotHold(RuntimeError):
    """The benchmark's ledger does not verify, so its figures would be meaningless."""


def verify(env: BenchEnvironment) -> Iterator[Figure]:
    """Verify all leaf hashes, checkpoint roots, archive tiles and the ledger table, in one process; then the newest
    root of the map of streams, with a stream for each domain event."""
    from tests.bench.ledger.setup import bench_ledger

    count = env.sized(DOMAIN_EVENTS, least=1_000)
    with env.database() as database, tempfile.TemporaryDirectory(prefix="gridproof-bench-") as folder:
        env.report(f"recording {count:,} domain events")
        _fill(database, count)
        with bench_ledger(database.app_url, Path(folder)) as ledger:
            env.report("sealing them")
            sealed_in_s, _ = timed(ledger.seal)
            floor_s, _ = timed(lambda: _copied(database))
            env.report("verifying them")
            verified_in_s, held = timed(ledger.holds)
            env.report("verifying their map")
            map_in_s, map_held = timed(ledger.map_holds)
        if not held or not map_held:
            raise DoesNotHold(
                "the ledger that was sealed just now does not verify; see application/ledger_*.py"
            )
    yield figure(
        "verify",
        unit="events/s",
        ours=count / verified_in_s,
        floor=count / floor_s,
        details={
            "domain_events": count,
            "state_bytes": STATE_BYTES,
            "sealed_per_s": round(count / sealed_in_s),
            "floor": "COPY out of the same rows, in order, not hashed",
        },
    )

    yield figure(
        "verify, map of streams",
        unit="streams/s",
        ours=count / map_in_s,
        floor=count / floor_s,
        details={"streams": count, "floor": "COPY out of the same rows, in order, not hashed"},
    )


def _fill(database: BenchDatabase, count: int) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(_FILL, (STATE_BYTES, count))
        connection.execute("VACUUM ANALYZE gridproof.demand_response_events")


def _copied(database: BenchDatabase) -> int:
    with psycopg.connect(database.app_url) as connection, connection.cursor().copy(_COPY) as rows:
        return sum(1 for _ in rows)
