"""The PostgreSQL server that accepts the writes, as it identifies itself."""

from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.survey import primaries_of
from adapters.postgres.connection.timeline import TIMELINE
from adapters.postgres.connection.transaction import transaction
from application.ports.operations.database_server import ServerIdentity, Standbys
from application.ports.operations.unavailable import OperationsUnavailable

_PLACE = f"""
SELECT coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'local'), {TIMELINE}
""".encode()
# Of each a role without pg_read_all_stats sees its name, and neither its state nor what it is for: a base backup, which
# has two sessions, would count as two standbys that are lost when it is complete.
_STANDBYS = """
SELECT count(*), coalesce(
    bool_or(sync_state IN ('sync', 'quorum')), count(*) > 0 AND current_setting('synchronous_standby_names') <> '')
FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup' AND application_name <> 'pg_basebackup'
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
        return ServerIdentity(address=row[0], timeline=row[1])

    def standbys(self) -> Standbys:
        with transaction(self._pool) as connection:
            row = connection.execute(_STANDBYS).fetchone()
        if row is None:
            raise OperationsUnavailable("PostgreSQL did not say who follows it")
        return Standbys(attached=row[0], synchronous=row[1])

    def replaced(self) -> list[ServerIdentity]:
        primaries = list(primaries_of(str(self._pool.conninfo)))
        newest: dict[int, int] = {}
        for _, server in primaries:
            newest[server.cluster] = max(newest.get(server.cluster, 0), server.timeline or 0)
        return [
            ServerIdentity(address=address, timeline=server.timeline)
            for address, server in primaries
            if server.timeline is not None and server.timeline < newest[server.cluster]
        ]
