"""Factory that gives eventsourcing a datastore which knows the complete DSN.

The library uses only five parts of the address. TLS settings and the choice among several hosts would be
lost. Its pool stays closed: all that this project reads and writes goes over dedicated connections.
"""

from __future__ import annotations

from typing import Any

from eventsourcing.persistence import BaseInfrastructureFactory
from eventsourcing.postgres import PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment, EnvType
from psycopg.conninfo import conninfo_to_dict

SCHEMA = "gridproof"


class StoreDatastore(PostgresDatastore):
    """The database as our recorder needs it. `options` are the library's, for its own pool."""

    def __init__(self, dsn: str, *, schema: str = SCHEMA, lock_timeout_s: int = 5, **options: Any) -> None:
        parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
        super().__init__(
            *(parts.get(name, "") for name in ("dbname", "host", "port", "user", "password")),
            schema=schema,
            lock_timeout=lock_timeout_s,
            **options,
        )
        self.dsn = dsn

    def register_type_adapters(self) -> None:
        """Does nothing: only the library's own INSERT, which our recorder replaces, needs them."""


class StoreFactory(PostgresFactory):
    """Selected by `PERSISTENCE_MODULE`."""

    ADDRESS = "GRIDPROOF_ADDRESS"
    """The environment variable of an application that holds the complete DSN."""

    def __init__(self, env: Environment | EnvType | None) -> None:
        BaseInfrastructureFactory.__init__(
            self, env
        )  # not that of PostgresFactory, which makes a datastore of its own
        self.datastore = StoreDatastore(str(self.env.get(self.ADDRESS)))
