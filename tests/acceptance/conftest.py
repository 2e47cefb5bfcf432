"""Fixtures of the acceptance tests."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.open_work import PostgresOpenWork
from tests.bench.setup import BenchDatabase, bench_databases
from tests.servers import Database

FreshDatabase = Callable[[], AbstractContextManager[BenchDatabase]]


@pytest.fixture(scope="session")
def bench_server() -> Iterator[FreshDatabase]:
    """One PostgreSQL for all benchmarks of a session; each uses its own databases."""
    with bench_databases() as fresh_database:
        yield fresh_database


@pytest.fixture
def benches_share_a_server(bench_server: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks run by bench_runs share a server; test_bench.py tests that a benchmark starts its own."""
    monkeypatch.setattr("tests.bench.setup.bench_databases", lambda: nullcontext(bench_server))


@pytest.fixture
def rows(database: Database) -> Iterator[PostgresOpenWork]:
    """The rows of open work of the test's database."""
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        yield PostgresOpenWork(pool)
