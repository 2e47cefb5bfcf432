"""Which sessions of replication count as standbys, as a role sees them that may not read their state."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.database_server import PostgresDatabaseServer
from tests.servers import Database


@contextmanager
def replicating(database: Database, name: str) -> Iterator[None]:
    """A WAL sender serves a client of that name."""
    with closing(
        psycopg.connect(make_conninfo(database.admin_dsn, replication="true", application_name=name))
    ):
        yield


def test_a_base_backup_is_no_standby(database: Database) -> None:
    with ConnectionPool(database.app_dsn, min_size=1, max_size=1, open=True) as pool:
        server = PostgresDatabaseServer(pool)
        before = server.standbys().attached
        with replicating(database, "walreceiver"):
            assert server.standbys().attached == before + 1
        with replicating(database, "pg_basebackup"):
            assert server.standbys().attached == before
