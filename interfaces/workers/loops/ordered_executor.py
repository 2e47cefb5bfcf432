"""KeyedExecutor: jobs in order within a lane, those of different lanes at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

Job = Callable[[], Awaitable[None]]


class KeyedExecutor:
    """At most `at_once` jobs run. A job that fails ends its lane: what stands behind it is never begun."""

    def __init__(self, at_once: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._waiting: dict[Hashable, deque[tuple[Job, asyncio.Future[None]]]] = {}
        self._runners: set[asyncio.Task[None]] = set()
        self.unfinished = 0
        """Jobs that are not done."""
        self.failure: BaseException | None = None
        """Of the first job that failed."""

    def put(self, lane: Hashable, job: Job) -> asyncio.Future[None]:
        """Runs after all that was put into that lane before. The future says when it is done, or why it is not."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unfinished += 1
        if lane in self._waiting:
            self._waiting[lane].append((job, done))
        else:
            self._waiting[lane] = deque([(job, done)])
            runner = asyncio.create_task(self._run(lane))
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)
        return done

    async def aclose(self) -> None:
        """Nothing that waits is begun any more."""
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)

    async def _run(self, lane: Hashable) -> None:
        waiting = self._waiting[lane]
        while waiting:
            job, done = waiting.popleft()
            try:
                async with self._places:
                    await job()
            except asyncio.CancelledError:
                done.cancel()
                raise
            except BaseException as error:  # noqa: BLE001 - raised where the future is asked
                # The lane stays taken: what stands behind may rest on what failed.
                self.failure = self.failure or error
                done.set_exception(error)
                done.exception()  # `failure` tells of it, too
                return
            self.unfinished -= 1
            done.set_result(None)
        del self._waiting[lane]
