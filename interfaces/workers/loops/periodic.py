"""Work that a worker repeats until it is told to stop. A server that is away only delays the next round."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from application.command_bus.retry import TRANSIENT, sleep_or_stop
from projections.queries.views import ReadModelsUnavailable

PUT_OFF: tuple[type[Exception], ...] = (*TRANSIENT, ReadModelsUnavailable)
"""Errors of a round that the next round can overcome. The read models belong to the projections, which application
code does not import: that is why they are added here and not in `application.ports.unavailable`."""
_log = structlog.get_logger(__name__)


async def run_periodically(
    work: Callable[[], Awaitable[float | None]],
    *,
    name: str,
    every_s: float,
    stop: asyncio.Event,
    retry_s: float | None = None,
    also: tuple[type[Exception], ...] = (),
) -> None:
    """Run `work` until `stop` is set, and sleep `every_s` wall seconds after each round.

    `work` may return another pause for this round. After one of PUT_OFF or `also` the pause is `retry_s`, by default
    `every_s`. Every other error is raised.
    """
    while not stop.is_set():
        try:
            pause_s = await work()
        except (*PUT_OFF, *also) as error:
            _log.warning("put off", work=name, error=type(error).__name__, why=str(error))
            pause_s = every_s if retry_s is None else retry_s
        pause_s = every_s if pause_s is None else pause_s
        if pause_s > 0.0:
            await sleep_or_stop(stop, pause_s)
        else:
            await asyncio.sleep(0.0)
