"""Sessions of PostgreSQL are opened in one place (docs/architecture.md, "One place for each job")."""

import ast
import re

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, parsed, place, python_files

SESSIONS = ROOT / "adapters/postgres/connection"
BEFORE_THERE_IS_A_DATABASE = ROOT / "adapters/embedded/postgres.py"
"""Starts the server, and creates role and database as its superuser."""


def sessions_opened(tree: ast.Module) -> list[ast.Call]:
    """Calls of psycopg's `connect`, and pools of psycopg_pool, under whatever name they were imported."""
    names = {"psycopg.connect": "psycopg.connect"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("psycopg"):
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        if isinstance(node, ast.Import):
            names |= {one.asname: one.name for one in node.names if one.asname is not None}

    def is_session(call: ast.Call) -> bool:
        name = re.sub(r"\[.*?\]", "", ast.unparse(call.func))
        first, _, rest = name.partition(".")
        full = f"{names.get(first, first)}.{rest}".rstrip(".")
        if full.startswith("psycopg_pool."):
            return full.endswith("ConnectionPool")
        return (full.startswith("psycopg.") and full.endswith(".connect")) or full == "psycopg.connect"

    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_session(node)]


def test_sessions_of_postgresql_are_opened_in_one_place() -> None:
    elsewhere = [
        file
        for file in python_files(*PACKAGES)
        if "psycopg" in file.read_text()
        and SESSIONS not in file.parents
        and file != BEFORE_THERE_IS_A_DATABASE
    ]
    assert [place(file, node) for file in elsewhere for node in sessions_opened(parsed(file))] == []


@pytest.mark.parametrize(
    "code",
    [
        "import psycopg\nwith psycopg.connect(dsn) as one: ...",
        "import psycopg\nasync def f(): await psycopg.AsyncConnection.connect(dsn)",
        "import psycopg\npsycopg.Connection[Any].connect(dsn)",
        "from psycopg import AsyncConnection as Session\nasync def f(): await Session.connect(dsn)",
        "from psycopg_pool import ConnectionPool\nConnectionPool(dsn)",
        "from psycopg_pool import ConnectionPool\nConnectionPool[Any](dsn, min_size=1)",
        "import psycopg_pool\npsycopg_pool.AsyncConnectionPool(dsn)",
    ],
)
def test_a_session_opened_elsewhere_is_detected(code: str) -> None:
    assert sessions_opened(ast.parse(code))
