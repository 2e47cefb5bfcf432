"""How eventsourcing reaches PostgreSQL: by the whole address.

The library takes five parts of it. Who asks for TLS, or for the one of several hosts that takes writes, would get
neither.
"""

from __future__ import annotations

from eventsourcing.postgres import PostgresFactory
from eventsourcing.utils import Environment, EnvType
from psycopg.conninfo import conninfo_to_dict


class StoreFactory(PostgresFactory):
    """Set by `PERSISTENCE_MODULE`."""

    ADDRESS = "GRIDPROOF_ADDRESS"
    """The variable, in the environment of an application, that holds the whole address."""

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        pool = self.datastore.pool
        if not isinstance(pool.kwargs, dict):
            raise TypeError("the library's pool keeps its parameters otherwise: see PostgresDatastore")
        pool.kwargs |= conninfo_to_dict(self.env.get(self.ADDRESS) or "")
