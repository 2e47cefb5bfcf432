"""The name that tells two systems apart, by their databases."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import psycopg

# The identifier of the server's data, which a standby shares with its primary, and the database on it.
_IDENTITY = "SELECT system_identifier, current_database() FROM pg_control_system()"
_DIGEST_BYTES = 6


def system_name(connection: psycopg.Connection[Any]) -> str:
    """A short name of this system, the same in all its processes and after a failover. A database that was dumped and
    restored elsewhere has another one. Errors are those of psycopg."""
    row = connection.execute(_IDENTITY).fetchone()
    assert row is not None  # noqa: S101 - the function returns one row
    return blake2b(f"{row[0]}/{row[1]}".encode(), digest_size=_DIGEST_BYTES).hexdigest()
