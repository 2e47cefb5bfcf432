"""Fills a benchmark's log by COPY, and reads it by COPY as the floor of projections."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import psycopg

from tests.bench.environment import BenchEnvironment
from tests.bench.generated_log import StoredRow, generated_log

_COPY_IN = (
    "COPY gridproof.demand_response_events (originator_id, originator_version, topic, state) "
    "FROM STDIN (FORMAT BINARY)"
)
_COPY_OUT = "COPY gridproof.demand_response_events TO STDOUT (FORMAT BINARY)"


def filled(env: BenchEnvironment, url: str, wanted: int) -> int:
    """Store at least `wanted` domain events; returns the total."""
    env.report(f"storing {wanted:,} domain events")
    with psycopg.connect(url) as connection:
        count = insert(connection, generated_log(wanted))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE gridproof.demand_response_events")
    return count


def insert(connection: psycopg.Connection[Any], rows: Iterable[StoredRow]) -> int:
    """Insert rows in the caller's transaction; returns their number."""
    count = 0
    with connection.cursor().copy(_COPY_IN) as copy:
        copy.set_types(("uuid", "int8", "text", "bytea"))
        for row in rows:
            copy.write_row((row.originator_id, row.originator_version, row.topic, row.state))
            count += 1
    return count


def copy_out_s(url: str) -> float:
    """Seconds to copy the whole log to one client that discards it; the best of three."""
    taken: list[float] = []
    with psycopg.connect(url) as connection:
        for _ in range(3):
            began = time.perf_counter()
            with connection.cursor().copy(_COPY_OUT) as copy:
                for _block in copy:
                    pass
            taken.append(time.perf_counter() - began)
    return min(taken)
