"""The PostgreSQL server that accepts the writes, as it identifies itself."""

from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from application.ports.operations.database_server import ServerIdentity
from application.ports.operations.unavailable import OperationsUnavailable

# The first eight hexadecimal digits of a WAL file name are its timeline. They are correct from the promotion
# on; pg_control_checkpoint() shows the new timeline only after a checkpoint.
_PLACE = """
SELECT coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'local'),
    left(pg_walfile_name(pg_current_wal_lsn()), 8)
"""


class PostgresDatabaseServer:
    """DatabaseServer. `pool` connects as the application's role."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def place(self) -> ServerIdentity:
        with transaction(self._pool) as connection:
            row = connection.execute(_PLACE).fetchone()  # fails on a standby, which writes no WAL of its own
        if row is None:
            raise OperationsUnavailable("PostgreSQL did not say where it is")
        return ServerIdentity(address=row[0], timeline=int(row[1], 16))
