"""The contract of IdempotencyRetention."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.event_store.idempotency_retention import PostgresIdempotencyRetention
from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
from tests.fakes.event_store.idempotency_retention import FakeIdempotencyRetention
from tests.servers import Database

WEEK = timedelta(days=7)


class Setting(Protocol):
    """A retention, and what a test does to its keys."""

    def drop(self, kept: timedelta, *, most: int) -> int: ...
    def store(self, key: str) -> None: ...
    def age(self, days: int) -> None: ...
    def carry_out(self) -> None: ...
    def keys(self) -> list[str]: ...


class InMemory(FakeIdempotencyRetention):
    def carry_out(self) -> None:
        self.carried_out = self.head


@dataclass
class InPostgres:
    pool: ConnectionPool[Any]
    owner_dsn: str

    def drop(self, kept: timedelta, *, most: int) -> int:
        return PostgresIdempotencyRetention(self.pool).drop(kept, most=most)

    def store(self, key: str) -> None:
        with self.pool.connection() as connection:
            connection.execute(
                "INSERT INTO gridproof.demand_response_events"
                " (originator_id, originator_version, topic, state)"
                " VALUES (gen_random_uuid(), 1, 'program.opened.v1', '{}')"
            )
            connection.execute(
                "INSERT INTO gridproof.idempotency_keys (scope, key, body_hash, reply) VALUES ('s', %s, '', '')",
                (key,),
            )

    def age(self, days: int) -> None:
        with psycopg.connect(self.owner_dsn) as connection:
            for statement in (
                "UPDATE gridproof.idempotency_keys SET stored_at = stored_at - make_interval(days => %s)",
                "UPDATE gridproof.log_head_samples SET taken_at = taken_at - make_interval(days => %s)",
            ):
                connection.execute(statement, (days,))

    def carry_out(self) -> None:
        with self.pool.connection() as connection:
            row = connection.execute(
                "SELECT max(notification_id) FROM gridproof.demand_response_events"
            ).fetchone()
        assert row is not None
        PostgresReaderPositions(self.pool).move("relay", int(row[0]))

    def keys(self) -> list[str]:
        with self.pool.connection() as connection:
            rows = connection.execute("SELECT key FROM gridproof.idempotency_keys ORDER BY key")
            return [key for (key,) in rows]


@pytest.fixture(params=["fake", "postgres"])
def setting(request: pytest.FixtureRequest) -> Iterator[Setting]:
    if request.param == "fake":
        yield InMemory()
        return
    database: Database = request.getfixturevalue("database")
    with ConnectionPool(database.app_dsn, min_size=1, max_size=2) as pool:
        yield InPostgres(pool, database.owner_dsn)


def test_keys_older_than_the_setting_go_once_the_relay_has_passed_them(setting: Setting) -> None:
    setting.store("old")
    setting.carry_out()
    assert setting.drop(WEEK, most=10) == 0
    setting.age(8)
    setting.store("new")
    assert setting.drop(WEEK, most=10) == 1
    assert setting.keys() == ["new"]


def test_a_key_stays_while_the_relay_may_repeat_its_command(setting: Setting) -> None:
    setting.store("carried-out")
    setting.carry_out()
    assert setting.drop(WEEK, most=10) == 0
    setting.age(1)
    setting.store("waits-1")
    setting.store("waits-2")
    assert setting.drop(WEEK, most=10) == 0
    setting.age(30)
    assert setting.drop(WEEK, most=10) == 1
    assert setting.keys() == ["waits-1", "waits-2"]
    setting.carry_out()
    assert setting.drop(WEEK, most=1) == 1
    assert setting.drop(WEEK, most=1) == 1
    assert setting.keys() == []


def test_no_key_of_the_last_day_goes_whoever_asks(setting: Setting) -> None:
    setting.store("new")
    setting.carry_out()
    for _ in range(2):
        assert setting.drop(timedelta(0), most=10) == 0
    assert setting.keys() == ["new"]
