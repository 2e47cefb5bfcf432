"""Setup of the benchmarks: an embedded PostgreSQL in a temporary folder, and the stores to measure."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from application.command_bus.bus import CommandBus
from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.settings.settings import read_settings

if TYPE_CHECKING:
    from adapters.embedded.postgres import EmbeddedPostgres

MAX_CONNECTIONS = 500
TEMPLATE = "bench_template"
SNAPSHOT_SECRET = "GRIDPROOF_SECRET_BENCH_SNAPSHOTS"


@dataclass(frozen=True)
class BenchDatabase:
    """A fresh, migrated database. URLs hold passwords: not for logs."""

    app_url: str
    """The application's role with least privileges."""
    owner_url: str
    admin_url: str
    """The superuser, for tables that the stock library creates."""
    pgbench: Path | None = None
    """The pgbench program of that PostgreSQL."""


class NotDurable(RuntimeError):
    """The server acknowledges before data is on disk, so its figures would be meaningless."""


@contextmanager
def bench_databases() -> Iterator[Callable[[], AbstractContextManager[BenchDatabase]]]:
    """Fresh databases of an embedded PostgreSQL in a temporary folder, removed afterwards."""
    from adapters.embedded import EmbeddedServers

    with (
        tempfile.TemporaryDirectory(prefix="gridproof-bench-") as folder,
        EmbeddedServers(
            Path(folder),
            nats=False,
            valkey=False,
            postgres_settings={"max_connections": str(MAX_CONNECTIONS)},
        ) as servers,
    ):
        numbers = itertools.count(1)
        _make_template(servers.postgres)

        @contextmanager
        def fresh_database() -> Iterator[BenchDatabase]:
            with _fresh_database(servers.postgres, f"bench_{next(numbers)}") as database:
                yield database

        yield fresh_database


def _make_template(server: EmbeddedPostgres) -> None:
    """Migrate a template once; copying it takes a fraction of the time."""
    from adapters.embedded.postgres import APP, OWNER, create_database
    from adapters.postgres.schema.migrate import migrate

    with server.connect() as connection:
        create_database(connection, TEMPLATE)
    migrate(server.url(OWNER, TEMPLATE), app_role=APP)


@contextmanager
def _fresh_database(server: EmbeddedPostgres, name: str) -> Iterator[BenchDatabase]:
    from adapters.embedded.postgres import APP, OWNER, SUPERUSER, create_database

    with server.connect() as connection:
        create_database(connection, name, template=TEMPLATE)
    pgbench = server.program().with_name("pgbench")
    urls = BenchDatabase(
        server.url(APP, name),
        server.url(OWNER, name),
        server.url(SUPERUSER, name),
        pgbench if pgbench.is_file() else None,
    )
    try:
        _refuse_volatile(urls.app_url)
        yield urls
    finally:
        with server.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@contextmanager
def opened_recorder(url: str, *, is_stock: bool = False) -> Iterator[Any]:
    """Yields a recorder of the demand response log: ours, or the library's unchanged one."""
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
    from psycopg.conninfo import conninfo_to_dict

    from adapters.postgres.event_store.library_factory import StoreDatastore
    from adapters.postgres.event_store.recorder import GroupCommitRecorder

    table = "demand_response_events"
    if not is_stock:
        with closing(
            GroupCommitRecorder(StoreDatastore(url, lock_timeout_s=10), events_table_name=table)
        ) as recorder:
            yield recorder
        return
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    datastore = PostgresDatastore(
        **{name: parts[name] for name in ("dbname", "host", "port", "user", "password")},  # type: ignore[arg-type]
        pool_size=4,
        max_overflow=60,
        lock_timeout=10,
        schema="gridproof",
    )
    with closing(datastore):
        yield PostgresApplicationRecorder(datastore, events_table_name=table)


@contextmanager
def opened_bus(url: str, *, is_stock: bool = False) -> Iterator[CommandBus]:
    """A command bus on our event store, or on the library's unchanged one."""
    from application.handlers import HANDLERS
    from tests.bench.stock_library import opened_stock_store

    stores = open_bench_stores(url)
    try:
        if not is_stock:
            yield stores.bus
            return
        with opened_stock_store(url) as store:
            yield CommandBus(store, stores.clock, HANDLERS, forecasts=stores.forecasts)
    finally:
        stores.close()


def open_bench_stores(url: str) -> Stores:
    """The stores of a benchmark, on the machine's clock."""
    os.environ.setdefault(SNAPSHOT_SECRET, "0b" * 32)
    return open_stores(
        read_settings({"GRIDPROOF_DATABASE_URL": url, "GRIDPROOF_SNAPSHOT_KEY": f"env:{SNAPSHOT_SECRET}"})
    )


def _refuse_volatile(url: str) -> None:
    with psycopg.connect(url) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            row = connection.execute(f"SHOW {setting}".encode()).fetchone()
            if row is None or row[0] != "on":
                raise NotDurable(f"{setting} is {row and row[0]}: figures without durability are meaningless")
