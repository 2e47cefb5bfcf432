"""What acceptance tests may ask for."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from tests.bench.setup import BenchDatabase, bench_databases

FreshDatabase = Callable[[], AbstractContextManager[BenchDatabase]]


@pytest.fixture(scope="session")
def bench_server() -> Iterator[FreshDatabase]:
    """One benchmark PostgreSQL for all benchmarks of a session; each has databases of its own in it."""
    with bench_databases() as fresh_database:
        yield fresh_database


@pytest.fixture
def benches_share_a_server(bench_server: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks as in tests.acceptance.bench.bench_runs; that it starts a server itself, test_bench.py shows."""
    monkeypatch.setattr("tests.bench.setup.bench_databases", lambda: nullcontext(bench_server))
