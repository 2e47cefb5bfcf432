"""The past at a time is found by an index, however long the log is, and one tenant's reads delay its own only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg_pool import ConnectionPool

from adapters.postgres.audit import stream_log
from adapters.postgres.audit.recorded_times import STRIDE, RecordedTimesIndex
from adapters.postgres.audit.stream_log import (
    FIRST_LATER,
    OF_LISTED_TOPICS,
    SURROUNDING,
    PostgresStreamLog,
)
from interfaces.bootstrap.kinds.web import STATEMENT_TIMEOUT_S
from interfaces.bootstrap.stores import open_stores
from interfaces.settings.settings import Settings
from interfaces.web.authentication.concurrency_limit import MAX_WAITING, TenantConcurrencyLimit
from interfaces.web.problems import Problem
from projections.audit.stream_log import TimesNotIndexed
from tests.servers import Database

FROM = datetime(2026, 7, 14, 12, tzinfo=UTC)
DOMAIN_EVENTS = 20 * STRIDE + 100
BACK_EVERY = 1_000
"""A domain event dated an hour before the others."""
FILL = """
INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state)
SELECT gen_random_uuid(), 1, 'facility.registered.v1', convert_to(
    '{"recorded_at":"' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","reason":"é"}', 'UTF8')
FROM (
    SELECT n, %(start)s::timestamptz + n * interval '1 second' - (n %% %(back)s = 0)::int * interval '1 hour' AS at
    FROM generate_series(1, %(count)s) AS n
) AS dated ORDER BY n
"""


@pytest.fixture
def pool(database: Database) -> Iterator[ConnectionPool[Any]]:
    with psycopg.connect(database.app_dsn) as connection:
        connection.execute(FILL, {"start": FROM, "count": DOMAIN_EVENTS, "back": BACK_EVERY})
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2) as opened:
        yield opened


def indexed(pool: ConnectionPool[Any]) -> int:
    """Extend the index to the end; the number of rows added."""
    index, added = RecordedTimesIndex(pool), 0
    while more := index.extend():
        added += more
    return added


def at(second: float) -> datetime:
    return FROM + timedelta(seconds=second)


MOMENTS = [-7_200, 0, 0.5, 1, 255, 256, 257, 999, 1_000, 1_000.5, 3_333, 5_120, DOMAIN_EVENTS - 1, 10**9]


def test_the_position_of_a_time_is_the_same_with_and_without_the_index(pool: ConnectionPool[Any]) -> None:
    log = PostgresStreamLog(pool)
    before = [log.prefix_end(at(second)) for second in MOMENTS]
    assert indexed(pool) == 20
    assert indexed(pool) == 0
    assert [log.prefix_end(at(second)) for second in MOMENTS] == before
    assert before == [expected(second) for second in MOMENTS]


def expected(second: float) -> int:
    """The end of the prefix, by looking at each domain event in turn."""
    for number in range(1, DOMAIN_EVENTS + 1):
        if number - 3_600 * (number % BACK_EVERY == 0) > second:
            return number - 1
    return DOMAIN_EVENTS


def analyzed(database: Database) -> None:
    """Plans follow from statistics, which PostgreSQL collects on its own at any time: here they are of everything."""
    with psycopg.connect(database.owner_dsn) as connection:
        for table in ("demand_response_events", "administrative_acts", "recorded_times"):
            connection.execute(f"ANALYZE gridproof.{table}".encode())


def rows_read(pool: ConnectionPool[Any], statement: str, parameters: Any) -> int:
    """Rows of the log and its index that the statement reads, with those that a filter removes."""
    with pool.connection() as connection:
        [(plans,)] = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).fetchall()

    def below(node: dict[str, Any]) -> int:
        own = 0
        if "Relation Name" in node:
            assert node["Node Type"] != "Seq Scan" or node["Relation Name"] != "demand_response_events"
            own = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        return int(own) + sum(map(below, node.get("Plans", ())))

    return below(plans[0]["Plan"])


def test_a_look_up_by_time_reads_no_more_than_one_stride_of_the_log(
    database: Database, pool: ConnectionPool[Any]
) -> None:
    indexed(pool)
    analyzed(database)
    for second in MOMENTS:
        moment = {"as_of": at(second)}
        with pool.connection() as connection:
            after, up_to, head = connection.execute(SURROUNDING, moment).fetchone() or (0, 0, 0)
        assert rows_read(pool, SURROUNDING, moment) <= 30, second
        assert rows_read(pool, FIRST_LATER, moment | {"after": after, "up_to": up_to or head}) <= STRIDE


def test_the_changes_of_programs_are_read_without_the_whole_log(
    database: Database, pool: ConnectionPool[Any]
) -> None:
    """There are few, and the log has no index of topics: a scan of a long one outlasts the statement's time limit."""
    listed = [10, 2_000, DOMAIN_EVENTS]
    with pool.connection() as connection:
        for position in listed:
            connection.execute(
                "INSERT INTO gridproof.administrative_acts (position) VALUES (%s)", (position,)
            )
    analyzed(database)
    parameters = (["facility.registered.v1"], 0, DOMAIN_EVENTS, 5_000)
    with pool.connection() as connection:
        rows = connection.execute(OF_LISTED_TOPICS, parameters).fetchall()
    assert [row[0] for row in rows] == listed
    assert rows_read(pool, OF_LISTED_TOPICS, parameters) <= 10


def test_a_part_that_is_not_indexed_is_scanned_up_to_a_bound(
    pool: ConnectionPool[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PostgresStreamLog(pool)
    monkeypatch.setattr(stream_log, "MAX_SCANNED", 1_000)
    with pytest.raises(TimesNotIndexed, match="gridproof worker project"):
        log.prefix_end(at(5))
    indexed(pool)
    assert log.prefix_end(at(5)) == 5
    assert log.prefix_end(at(10**9)) == DOMAIN_EVENTS


def test_domain_events_without_a_readable_time_do_not_stop_the_index(
    database: Database, pool: ConnectionPool[Any]
) -> None:
    states = ["{}", "", '{"recorded_at":"2026-99-99T00:00:00Z"}', '{"recorded_at":"now"}', "\xff"]
    with psycopg.connect(database.app_dsn) as connection:
        connection.execute(
            "INSERT INTO gridproof.demand_response_events (originator_id, originator_version, topic, state)"
            " SELECT gen_random_uuid(), 1, 'x', convert_to(state, 'LATIN1')"
            " FROM unnest(%s::text[]) AS state, generate_series(1, 100)",
            (states,),
        )
    assert indexed(pool) == 22
    assert PostgresStreamLog(pool).prefix_end(at(10**9)) == DOMAIN_EVENTS + 500


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO gridproof.recorded_times VALUES (1, '2000-01-01')",
        "UPDATE gridproof.recorded_times SET latest_at = '2000-01-01'",
        "DELETE FROM gridproof.recorded_times",
    ],
)
def test_the_application_cannot_forge_the_index(database: Database, statement: str) -> None:
    with psycopg.connect(database.app_dsn) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement.encode())


def test_one_tenant_reads_the_past_one_call_at_a_time_and_delays_no_other() -> None:
    running: dict[str, int] = {}
    most: dict[str, int] = {}

    async def read(tenant: str, done: asyncio.Event) -> str:
        running[tenant] = running.get(tenant, 0) + 1
        most[tenant] = max(most.get(tenant, 0), running[tenant])
        await done.wait()
        running[tenant] -= 1
        return tenant

    async def scenario() -> None:
        limit, done, at_once = TenantConcurrencyLimit(8, 1, within_s=60.0), asyncio.Event(), asyncio.Event()
        at_once.set()
        greedy = [asyncio.create_task(limit.run("util-a", lambda: read("util-a", done))) for _ in range(70)]
        await asyncio.sleep(0)
        assert await limit.run("util-b", lambda: read("util-b", at_once)) == "util-b"
        done.set()
        assert await asyncio.gather(*greedy) == ["util-a"] * 70
        assert most == {"util-a": 1, "util-b": 1}
        assert limit._shares == {}

    asyncio.run(scenario())


def test_the_reads_of_a_tenant_that_wait_are_bounded_and_a_cancelled_one_keeps_its_share() -> None:
    async def scenario() -> None:
        limit, done = TenantConcurrencyLimit(8, 1, within_s=0.01), asyncio.Event()
        first = asyncio.create_task(limit.run("util-a", done.wait))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(Problem) as refused:
            await limit.run("util-a", done.wait)
        assert (refused.value.name, refused.value.headers["Retry-After"]) == ("unavailable", "5")
        slow = TenantConcurrencyLimit(8, 1, within_s=60.0)
        waiting = [asyncio.create_task(slow.run("util-a", done.wait)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Problem):
            await slow.run("util-a", done.wait)
        done.set()
        await asyncio.gather(*waiting)
        await asyncio.sleep(0)
        assert limit._shares == {}

    asyncio.run(scenario())


def test_no_statement_of_a_request_runs_for_long(database: Database, tmp_path: Any) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database.app_dsn)
    stores = open_stores(settings, pool_size=1, statement_timeout_s=STATEMENT_TIMEOUT_S)
    try:
        with stores.pool.connection() as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == (f"{STATEMENT_TIMEOUT_S}s",)
    finally:
        stores.close()
