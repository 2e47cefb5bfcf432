"""project: keeps every read model and the ledger up to date, one thread each, so that none waits for another."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol


class ProjectionLoop(Protocol):
    """Follows the log for one projection (synchronous)."""

    @property
    def name(self) -> str: ...

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. A projection that cannot go on stays, stopped, with its alert; an error here is a fault."""
        ...


async def run(*, projections: Sequence[ProjectionLoop], stop: asyncio.Event) -> None:
    """Until `stop`. Several workers may run: of each projection one is active, the others stand by."""
    halt = threading.Event()
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(max(len(projections), 1), thread_name_prefix="project")
    threads: list[asyncio.Future[None]] = [
        loop.run_in_executor(pool, projection.run, halt) for projection in projections
    ]
    stopping: asyncio.Future[Any] = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopping, *threads}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        halt.set()
        stopping.cancel()
        ended = await asyncio.gather(*threads, return_exceptions=True)
        pool.shutdown(wait=False)
    faults = [error for error in ended if isinstance(error, BaseException)]
    if faults:
        raise faults[0]
