"""How eventsourcing reaches PostgreSQL: by the whole address, and again soon after it was away.

The library takes five parts of it. Who asks for TLS, or for the one of several hosts that takes writes, would get
neither.
"""

from __future__ import annotations

from typing import Any

from eventsourcing.postgres import ConnectionPool, PostgresFactory
from eventsourcing.utils import Environment, EnvType
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.connection.pool import FastReconnectPool


class _FastReconnectLibraryPool(FastReconnectPool, ConnectionPool[Any]):
    """The library's own pool, but for how it finds out that its server went and is back."""


class StoreFactory(PostgresFactory):
    """Set by `PERSISTENCE_MODULE`."""

    ADDRESS = "GRIDPROOF_ADDRESS"
    """The variable, in the environment of an application, that holds the whole address."""

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        pool = self.datastore.pool
        if not isinstance(pool.kwargs, dict):
            raise TypeError("the library's pool keeps its parameters otherwise: see PostgresDatastore")
        # It asks the server before every use, and the library lets nobody give another.
        pool.__class__ = _FastReconnectLibraryPool
        pool._check = None
        pool.kwargs |= conninfo_to_dict(self.env.get(self.ADDRESS) or "")
