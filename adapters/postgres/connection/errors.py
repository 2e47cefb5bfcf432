"""Translation of connection errors into the errors that a port declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

CONNECTION_ERRORS = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    PoolTimeout,
    PoolClosed,
    TooManyRequests,
)
RETRY_ADVICE = "; see `gridproof doctor`, then try again"


@contextmanager
def translate_errors(unavailable: Callable[[str], Exception], what: str, advice: str = "") -> Iterator[None]:
    """Raise connection errors of the block as `unavailable`. Its message names `what` did not answer, the
    cause and the `advice`."""
    try:
        yield
    except CONNECTION_ERRORS as error:
        raise unavailable(f"{what} did not answer: {error}{advice}") from error
