"""Translation of PostgreSQL's errors into eventsourcing's, and of those into the errors of the port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
)

from application.ports.clock import ClockSkewed
from application.ports.event_store.event_store import (
    EventStoreUnavailable,
    IdempotencyKeyTaken,
    VersionConflict,
)


class StreamConflict(IntegrityError):
    """The version of a stream that is to be saved exists already."""


class KeyConflict(IntegrityError):
    """The idempotency key exists already."""


class TimeAhead(PersistenceError):
    """A domain event of the save is dated later than the database's clock allows. Nothing was saved."""


def to_library_error(error: psycopg.Error) -> PersistenceError:
    """The library's error for a psycopg error. A new one for each caller, because a raised error carries its
    traceback."""
    error_class = next(
        library_error for psycopg_error, library_error in _KINDS if isinstance(error, psycopg_error)
    )
    if isinstance(error, psycopg.errors.UniqueViolation):
        is_key = error.diag.constraint_name == "idempotency_keys_pkey"
        error_class = KeyConflict if is_key else StreamConflict
    translated = error_class(str(error))
    translated.__cause__ = error
    return translated


@contextmanager
def as_library_errors() -> Iterator[None]:
    """Raise psycopg's errors in the block as the library's."""
    try:
        yield
    except psycopg.Error as error:
        raise to_library_error(error) from error


def to_port_error(error: BaseException | None) -> Exception | None:
    """The port's error for an error of eventsourcing: a conflict of keys or versions, a wrong clock, or an
    unavailable store.

    Other exceptions are returned unchanged. One that is not an `Exception` is raised.
    """
    translated: Exception
    if isinstance(error, KeyConflict):
        translated = IdempotencyKeyTaken("that idempotency key was stored by another process first")
    elif isinstance(error, IntegrityError):
        translated = VersionConflict(f"another process saved first ({error})")
    elif isinstance(error, TimeAhead):
        translated = ClockSkewed(str(error))
    elif isinstance(error, OperationalError | InterfaceError):
        translated = EventStoreUnavailable(f"the event store did not answer: {error}")
    elif error is None or isinstance(error, Exception):
        return error
    else:
        raise error
    translated.__cause__ = error
    return translated


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise errors of eventsourcing in the block as the errors of the port."""
    try:
        yield
    except (IntegrityError, OperationalError, InterfaceError) as error:
        raise to_port_error(error) or error from error


_KINDS: tuple[tuple[type[psycopg.Error], type[PersistenceError]], ...] = (
    (psycopg.InterfaceError, InterfaceError),
    (psycopg.OperationalError, OperationalError),
    (psycopg.DataError, DataError),
    (psycopg.IntegrityError, IntegrityError),
    (psycopg.ProgrammingError, ProgrammingError),
    (psycopg.Error, PersistenceError),
)
