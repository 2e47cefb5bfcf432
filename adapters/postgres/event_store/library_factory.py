"""Factory that gives eventsourcing the complete DSN and a pool that reconnects fast.

The library uses only five parts of the address. TLS settings and the choice among several hosts would be
lost.
"""

from __future__ import annotations

from typing import Any

from eventsourcing.persistence import ApplicationRecorder
from eventsourcing.postgres import ConnectionPool, PostgresFactory
from eventsourcing.utils import Environment, EnvType
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.connection.pool import FastReconnectPool


class _FastReconnectLibraryPool(FastReconnectPool, ConnectionPool[Any]):
    """The library's pool, with our reconnection and idle check."""


class StoreFactory(PostgresFactory):
    """Selected by `PERSISTENCE_MODULE`."""

    ADDRESS = "GRIDPROOF_ADDRESS"
    """The environment variable of an application that holds the complete DSN."""

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        pool = self.datastore.pool
        if not isinstance(pool.kwargs, dict):
            raise TypeError("the library's pool keeps its parameters otherwise: see PostgresDatastore")
        # The library's check is a round trip before every use, and the library has no option to replace it.
        pool.__class__ = _FastReconnectLibraryPool
        pool._check = None
        pool.kwargs |= conninfo_to_dict(self.env.get(self.ADDRESS) or "")

    def application_recorder(self) -> ApplicationRecorder:
        """Closes the pool if the database cannot be reached: the garbage collector would close it in any thread, also
        in one of the pool's own."""
        try:
            return super().application_recorder()
        except Exception:
            self.close()
            raise
