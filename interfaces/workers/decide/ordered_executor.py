"""KeyedExecutor: runs jobs of the same key in order, and jobs of different keys concurrently."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

Job = Callable[[], Awaitable[None]]


class KeyedExecutor:
    """At most `at_once` jobs run at a time. After a failed job the later jobs of its key are never started."""

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._queues: dict[Hashable, deque[tuple[Job, asyncio.Future[None]]]] = {}
        self._runners: set[asyncio.Task[None]] = set()
        self.unfinished = 0
        """Jobs that are not done."""
        self.failure: BaseException | None = None
        """The error of the first job that failed."""

    def put(self, key: Hashable, job: Job) -> asyncio.Future[None]:
        """Queue `job` behind the earlier jobs of `key`. The future is done with the job, or holds its error."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unfinished += 1
        if key in self._queues:
            self._queues[key].append((job, done))
        else:
            self._queues[key] = deque([(job, done)])
            runner = asyncio.create_task(self._run(key))
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)
        return done

    async def aclose(self) -> None:
        """Cancel the running jobs; queued jobs are not started."""
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)

    async def _run(self, key: Hashable) -> None:
        queue = self._queues[key]
        while queue:
            job, done = queue.popleft()
            try:
                async with self._slots:
                    await job()
            except asyncio.CancelledError:
                done.cancel()
                raise
            except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
                # The key stays occupied: later jobs may depend on the failed one.
                self.failure = self.failure or error
                done.set_exception(error)
                done.exception()  # `failure` reports it, too
                return
            self.unfinished -= 1
            done.set_result(None)
        del self._queues[key]
