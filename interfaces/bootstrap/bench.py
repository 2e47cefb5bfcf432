"""Wiring of `gridproof bench`: a PostgreSQL of its own in a temporary folder, and the stores to be measured."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from interfaces.bench.bed import Bed, BenchDatabase

if TYPE_CHECKING:
    from adapters.embedded.postgres import EmbeddedPostgres

MAX_CONNECTIONS = 300


class NotDurable(RuntimeError):
    """The server would answer before the disk has it: its figures would mean nothing."""


@contextmanager
def bench_bed(*, scale: float = 1.0, tell: Callable[[str], None] = lambda _: None) -> Iterator[Bed]:
    """Starts an embedded PostgreSQL in a temporary folder; both are gone afterwards."""
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

        @contextmanager
        def fresh_database() -> Iterator[BenchDatabase]:
            with _fresh_database(servers.postgres, f"bench_{next(numbers)}") as database:
                yield database

        yield Bed(fresh_database, scale=scale, tell=tell)


@contextmanager
def _fresh_database(server: EmbeddedPostgres, name: str) -> Iterator[BenchDatabase]:
    from adapters.embedded.postgres import APP, OWNER, SUPERUSER, create_database
    from adapters.postgres.migrate import migrate

    with server.connect() as connection:
        create_database(connection, name)
    urls = BenchDatabase(server.url(APP, name), server.url(OWNER, name), server.url(SUPERUSER, name))
    try:
        migrate(urls.owner_url, app_role=APP)
        _refuse_volatile(urls.app_url)
        yield urls
    finally:
        with server.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def _refuse_volatile(url: str) -> None:
    with psycopg.connect(url) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            row = connection.execute(f"SHOW {setting}".encode()).fetchone()
            if row is None or row[0] != "on":
                raise NotDurable(
                    f"{setting} is {row and row[0]}: figures of a store that may forget are no figures"
                )
