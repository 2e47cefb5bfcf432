"""The retries of a process while PostgreSQL or NATS is away: it repeats the call until there is an answer (ADR
0057)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

import stamina
import structlog

from application.command_bus.bus import TooManyConflicts
from application.ports.unavailable import UNAVAILABLE

TRANSIENT: tuple[type[Exception], ...] = (*UNAVAILABLE, TooManyConflicts)
"""Errors that a repetition of the same call can overcome: a server that is away, and a race lost to other writers."""
TAnswer = TypeVar("TAnswer")
_log = structlog.get_logger(__name__)


class Stopped(Exception):
    """The worker was told to stop while it waited for a lock or for a server."""


class Pauses(NamedTuple):
    """Wall seconds between two tries: the pause doubles from `first_s` up to `longest_s`."""

    first_s: float
    longest_s: float


DEFAULT_PAUSES = Pauses(0.25, 0.25)
LIMITED_PAUSES = Pauses(0.1, 0.8)
MAX_TRIES = 5
"""Of a call that fails with an error that does not say that a server is away."""


def log_retry(error: Exception, **facts: Any) -> None:
    """The log line of a call that is repeated."""
    _log.warning("trying again", error=type(error).__name__, why=str(error), **facts)


async def retry_while_unavailable(
    call: Callable[[], Awaitable[TAnswer]],
    *,
    stop: asyncio.Event | None = None,
    pauses: Pauses | None = None,
    on_retry: Callable[[Exception], None] = log_retry,
) -> TAnswer:
    """The answer of `call`, which is repeated without end while it raises one of TRANSIENT.

    Raises Stopped instead of a further try once `stop` is set, and every other error at once. Without `stop` the
    caller ends the retries by cancelling the task.
    """

    try:
        return await call()  # not inside stamina's context, which costs 0.1 ms a call
    except TRANSIENT as error:
        failed = error
    pauses = pauses or DEFAULT_PAUSES
    attempts = stamina.retry_context(
        on=partial(_is_transient, on_retry=on_retry),
        attempts=None,
        timeout=None,
        wait_initial=pauses.first_s,
        wait_max=pauses.longest_s,
        wait_jitter=0.0,
    )
    async for attempt in attempts:
        if attempt.num > 1 and stop is not None and stop.is_set():
            raise Stopped
        with attempt:
            if attempt.num == 1:
                raise failed
            return await call()
    raise AssertionError("retries without a limit end with an answer or an error")


async def retry_limited(
    call: Callable[[], Awaitable[TAnswer]],
    *,
    final: tuple[type[Exception], ...] = (),
    outage_pauses: Pauses | None = None,
) -> TAnswer:
    """The answer of `call`. TRANSIENT errors are retried without end, every other error MAX_TRIES times in all.

    Raises the last error, and those of `final` at once. What fails like this fails again: its caller parks it.
    """
    pause_s = LIMITED_PAUSES.first_s
    for _ in range(MAX_TRIES - 1):
        try:
            return await retry_while_unavailable(call, pauses=outage_pauses)
        except final:
            raise
        except Exception as error:  # noqa: BLE001 - raised at the last try
            log_retry(error)
        await asyncio.sleep(pause_s)
        pause_s = min(2.0 * pause_s, LIMITED_PAUSES.longest_s)
    return await retry_while_unavailable(call, pauses=outage_pauses)


def _is_transient(error: Exception, *, on_retry: Callable[[Exception], None]) -> bool:
    if not isinstance(error, TRANSIENT):
        return False
    on_retry(error)
    return True


async def sleep_or_stop(stop: asyncio.Event, seconds: float) -> None:
    """Sleep so many wall seconds, or until `stop` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
