"""The order of the log does not rest on the good will of those who write to it."""

import contextlib
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.errors import LockNotAvailable

from tests.servers import Database

LOGS = ("demand_response_events", "forecasts_events")
COLUMNS = "(originator_id, originator_version, topic, state)"
ROW = "(gen_random_uuid(), 1, 'facility.registered.v1', '{}')"


def insert(connection: psycopg.Connection[Any], log: str) -> None:
    connection.execute(f"INSERT INTO gridproof.{log} {COLUMNS} VALUES {ROW}".encode())


def copy(connection: psycopg.Connection[Any], log: str) -> None:
    with connection.cursor().copy(f"COPY gridproof.{log} {COLUMNS} FROM STDIN".encode()) as rows:
        rows.write("00000000-0000-0000-0000-000000000001\t1\tfacility.registered.v1\t{}\n")


@pytest.mark.parametrize("write", [insert, copy])
@pytest.mark.parametrize("log", LOGS)
def test_a_position_is_visible_only_after_every_lower_one_though_no_writer_takes_the_lock(
    database: Database, log: str, write: Callable[[psycopg.Connection[Any], str], None]
) -> None:
    with psycopg.connect(database.app_dsn) as slow, psycopg.connect(database.app_dsn) as quick:
        write(slow, log)  # has drawn its position and is not committed
        quick.execute("SET lock_timeout = '200ms'")
        with pytest.raises(LockNotAvailable):
            insert(quick, log)  # would draw the next position, and commit it first
        quick.rollback()
        quick.execute("SET lock_timeout = '200ms'")
        with pytest.raises(LockNotAvailable):  # as the product's writers do
            quick.execute(f"LOCK TABLE gridproof.{log} IN EXCLUSIVE MODE".encode())
        quick.rollback()
        slow.commit()
        insert(quick, log)
        quick.commit()
        positions = quick.execute(
            f"SELECT notification_id FROM gridproof.{log} ORDER BY xmin::text::bigint".encode()
        ).fetchall()
    assert positions == sorted(positions)
    assert len(positions) == 2


@pytest.mark.parametrize("log", LOGS)
def test_the_application_cannot_disable_the_lock_trigger(database: Database, log: str) -> None:
    statements = (
        f"ALTER TABLE gridproof.{log} DISABLE TRIGGER exclude_other_writers",
        f"DROP TRIGGER exclude_other_writers ON gridproof.{log}",
        "DROP FUNCTION gridproof.exclude_other_writers() CASCADE",
        "SET session_replication_role = replica",
    )
    for statement in statements:
        with (
            contextlib.closing(psycopg.connect(database.app_dsn)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement.encode())
