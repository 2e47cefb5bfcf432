"""How long one piece of a stream may wait for its connection to take it.

A timer for each piece would cost more than sending it: there is one for many, which looks when the oldest of them would
be too late.
"""

from __future__ import annotations

import asyncio
from typing import cast

from litestar.types import Scope, Send

SEND = "gridproof.send"
"""The scope key of the server's own `send`."""


class SendTimeout:
    """Of the task that makes it: it is cancelled where a piece was not taken within `within_s` wall seconds."""

    def __init__(self, within_s: float) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a limit is of a task")
        self.task: asyncio.Task[object] = task
        self.is_over = False
        self._within_s = within_s
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._within_s, self._look)

    def end(self) -> None:
        self._since = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return
        left_s = self._since + self._within_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
            return
        self.is_over = True
        self.task.cancel()


def send_of(scope: Scope, wrapped: Send) -> Send:
    """The server's own `send`: for the pieces of an answer that has begun, which nobody between changes or counts."""
    return cast("Send", scope.get(SEND, wrapped))
