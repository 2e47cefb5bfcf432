"""Rows are passed as array parameters; no session makes a temporary table.

A session that has made one commits when it ends, and a primary without its standby waits for that commit.
"""

import re

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, python_files

TEMPORARY_TABLE = re.compile(r"CREATE\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP", re.IGNORECASE)


def test_no_session_has_a_temporary_table() -> None:
    files = [*python_files(*PACKAGES), *sorted((ROOT / "adapters/postgres/migrations").glob("*.sql"))]
    assert [file.relative_to(ROOT) for file in files if TEMPORARY_TABLE.search(file.read_text())] == []


@pytest.mark.parametrize("statement", ["CREATE TEMP TABLE a ()", "create temporary view b AS SELECT 1"])
def test_a_temporary_table_is_detected(statement: str) -> None:
    assert TEMPORARY_TABLE.search(statement)
