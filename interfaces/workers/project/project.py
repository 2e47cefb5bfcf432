"""The project worker: keeps every read model and the ledger up to date, each in a thread of its own."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import structlog

RESTART_S = 1.0
"""Wall seconds until a loop that ended starts again."""
log = structlog.get_logger("project")


class Loop(Protocol):
    """A LogFollower, or another loop; synchronous."""

    @property
    def name(self) -> str: ...

    def run(self, stop: threading.Event) -> None:
        """Run until `stop`. An error only delays it: it is called again."""
        ...


async def run(*, loops: Sequence[Loop], stop: asyncio.Event) -> None:
    """Run until `stop`, each loop in a thread of its own."""
    halt = threading.Event()
    event_loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(max(len(loops), 1), thread_name_prefix="project")
    threads: list[asyncio.Future[None]] = [
        event_loop.run_in_executor(pool, _run_isolated, loop, halt) for loop in loops
    ]
    stopping: asyncio.Future[Any] = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopping, *threads}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        halt.set()
        stopping.cancel()
        ended = await asyncio.gather(*threads, return_exceptions=True)
        pool.shutdown(wait=False)
    errors = [error for error in ended if isinstance(error, BaseException)]
    if errors:
        raise errors[0]


def _run_isolated(loop: Loop, halt: threading.Event) -> None:
    """Run one loop until `halt`. An error of it, whatever it is, must not end those of the others."""
    while not halt.is_set():
        try:
            loop.run(halt)
        except Exception:
            log.exception("a loop ended with an error; it starts again", projection=loop.name)
        halt.wait(RESTART_S)
