"""Locks of a PostgreSQL session are taken by one module (docs/architecture.md, "One place for each job").

`pg_advisory_xact_lock` is another job: it orders statements, ends with its transaction, and needs no own session.
"""

import re

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, python_files

SESSION_LOCKS = ROOT / "adapters/postgres/coordination/session_locks.py"
SESSION_LOCK = re.compile(r"pg_(?:try_)?advisory_(?:un)?lock")
CONNECTION = re.compile(r"(?:psycopg|AsyncConnection|Connection)\.connect\(|open_(?:async_)?session\(")


def test_no_other_module_takes_or_releases_locks_of_a_session() -> None:
    files = [*python_files(*PACKAGES), *sorted((ROOT / "adapters/postgres/migrations").glob("*.sql"))]
    assert [file for file in files if SESSION_LOCK.search(file.read_text())] == [SESSION_LOCKS]


def test_no_policy_opens_a_session_of_its_own() -> None:
    files = python_files("adapters/postgres/coordination")
    assert [file for file in files if CONNECTION.search(file.read_text())] == [SESSION_LOCKS]


@pytest.mark.parametrize(
    "function", ["pg_try_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_unlock_all"]
)
def test_a_lock_of_another_session_is_detected(function: str) -> None:
    assert SESSION_LOCK.search(f'connection.execute("SELECT {function}(1)")')


def test_a_lock_of_a_transaction_is_another_job() -> None:
    assert not SESSION_LOCK.search("SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2)")


def test_a_session_of_a_policy_is_detected() -> None:
    assert CONNECTION.search("self._connection = await psycopg.AsyncConnection.connect(dsn)")
