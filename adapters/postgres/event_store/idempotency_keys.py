"""Idempotency keys by the round trip: many that are asked at the same moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from eventsourcing.postgres import PostgresDatastore

from adapters.postgres.connection.dedicated_connection import DedicatedConnection
from adapters.postgres.event_store.errors import translated
from adapters.postgres.wire_format.binary_arrays import TEXT, array, element
from application.ports.event_store.event_store import IdempotencyRecord, ScopedKey

_FIND = b"""
SELECT k.scope, k.key, k.body_hash, k.reply FROM unnest($1::text[], $2::text[]) AS wanted (scope, key)
JOIN gridproof.idempotency_keys k ON k.scope = wanted.scope AND k.key = wanted.key
"""


class KeyLoader:
    """Over a connection of its own; not for two threads at once."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._own = DedicatedConnection(datastore, "keys", {b"find": _FIND})

    def load(self, wanted: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        """Those that are stored. Raises the library's errors."""
        scopes = array(TEXT, [element(scope.encode()) for scope, _ in wanted])
        keys = array(TEXT, [element(key.encode()) for _, key in wanted])
        try:
            [answer] = self._own.session().statements.run((b"find", (scopes, keys)))
        except psycopg.Error as error:
            self.close()
            raise translated(error) from error
        found = {}
        for row in range(answer.ntuples):
            scope, key, body_hash, reply = (answer.get_value(row, column) or b"" for column in range(4))
            record = IdempotencyRecord(scope.decode(), key.decode(), body_hash.decode(), reply)
            found[record.scope, record.key] = record
        return found

    def close(self) -> None:
        """Idempotent."""
        self._own.close()
