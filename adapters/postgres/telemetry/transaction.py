"""Transactions on telemetry: those of connection/transaction.py, with locks of partitions."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, transaction
from adapters.postgres.wire_format.array_parameters import teach
from application.ports.telemetry.store import ReadingsRefused, TelemetryStoreUnavailable

_ERRORS = PortErrors(TelemetryStoreUnavailable, refused=ReadingsRefused)

# One lock per partition: finalization must not miss the marks of a concurrent writer.
_LOCK = "SELECT pg_advisory_xact_lock({lock_class}, {partition});"
_LOCK_CLASS = 0x7E1E


@contextmanager
def telemetry_transaction(
    pool: ConnectionPool[Any],
    timer: AbstractContextManager[None] | None = None,
    *,
    partitions: Iterable[int] = (),
    waits: str = "60s",
) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that holds the locks of `partitions`: one writes their readings or finalizes them. It
    waits at most `waits` for each lock. `timer` observes it (`TelemetryHealth.timed`).

    Raises ReadingsRefused if the rows are invalid, TelemetryStoreUnavailable for other errors.
    """
    # In order, so that two transactions cannot deadlock.
    locks = "".join(
        _LOCK.format(lock_class=_LOCK_CLASS, partition=int(one)) for one in sorted(set(partitions))
    )
    begin_with = f"SET LOCAL lock_timeout = '{waits}'; {locks}"
    with timer or nullcontext(), transaction(pool, _ERRORS, begin_with=begin_with) as connection:
        teach(connection)
        yield connection
