"""A timeout for sending the chunks of a stream.

A timer for each chunk would cost more than sending it. One timer serves many: it fires when the oldest chunk would be
too late.
"""

from __future__ import annotations

import asyncio


class SendTimeout:
    """Cancels the task that creates it if a chunk is not sent within `within_s` wall seconds."""

    def __init__(self, within_s: float) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a send timeout needs a running task")
        self.task: asyncio.Task[object] = task
        self.is_over = False
        self._within_s = within_s
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._within_s, self._check)

    def end(self) -> None:
        self._since = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        self._timer = None
        if self._since is None:
            return
        left_s = self._since + self._within_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check)
            return
        self.is_over = True
        self.task.cancel()
