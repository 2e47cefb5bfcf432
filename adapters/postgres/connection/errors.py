"""How a PostgreSQL that does not answer shows itself, and the port's own name for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

CONNECTION_ERRORS = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    PoolClosed,
    TooManyRequests,
)
RETRY_ADVICE = "; see `gridproof doctor`, then try again"


@contextmanager
def translate_errors(unavailable: Callable[[str], Exception], what: str, advice: str = "") -> Iterator[None]:
    """In the block: what says that there was no answer is raised as `unavailable` of `what`, with what to do next."""
    try:
        yield
    except CONNECTION_ERRORS as error:
        raise unavailable(f"{what} did not answer: {error}{advice}") from error
