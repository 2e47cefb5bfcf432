"""PostgreSQL's errors as eventsourcing's, with the two conflicts told apart."""

from __future__ import annotations

import psycopg
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
)


class StreamConflict(IntegrityError):
    """A version of a stream that is to be saved is there already."""


class KeyConflict(IntegrityError):
    """The idempotency key is there already."""


def translated(error: psycopg.Error) -> PersistenceError:
    """The library's error for ours, a new one for each caller, because a raised error carries its traceback."""
    kind = next(ours for theirs, ours in _KINDS if isinstance(error, theirs))
    if isinstance(error, psycopg.errors.UniqueViolation):
        is_key = error.diag.constraint_name == "idempotency_keys_pkey"
        kind = KeyConflict if is_key else StreamConflict
    found = kind(str(error))
    found.__cause__ = error
    return found


_KINDS: tuple[tuple[type[psycopg.Error], type[PersistenceError]], ...] = (
    (psycopg.InterfaceError, InterfaceError),
    (psycopg.OperationalError, OperationalError),
    (psycopg.DataError, DataError),
    (psycopg.IntegrityError, IntegrityError),
    (psycopg.ProgrammingError, ProgrammingError),
    (psycopg.Error, PersistenceError),
)
