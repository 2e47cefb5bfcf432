"""Request coalescing: concurrent requests for keys share round trips.

Keys requested while a round trip is in flight are collected for the next one. A request for a key in flight
shares its result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

TAnswer = TypeVar("TAnswer")


class RequestCoalescer(Generic[TAnswer]):
    """Coalesces requests over `ask`, which answers many keys in one round trip. At most `at_once` calls run,
    each with at most `most` keys.

    Belongs to one event loop.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[str]], Awaitable[Mapping[str, TAnswer]]],
        *,
        most: int = 1_000,
        at_once: int = 1,
        begins_every_s: float = 0.0,
    ) -> None:
        """`begins_every_s`: the least wall seconds between the starts of two consecutive calls, where a call
        costs about the same for one key as for ten."""
        self._begins_every_s = begins_every_s
        self._ask = ask
        self._most = most
        self._at_once = at_once
        self._answers: dict[str, asyncio.Future[TAnswer | None]] = {}
        self._waiting: list[str] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._working = 0

    async def get(self, keys: Sequence[str]) -> dict[str, TAnswer]:
        """The results found for `keys`. Raises what `ask` raised. A cancelled caller does not affect the
        others."""
        if not keys:
            return {}
        answers = {key: self._joined(key) for key in keys}
        if self._working < self._at_once and self._waiting:
            # Counted here and decremented in its last step: a task is done some time before its callbacks
            # run.
            self._working += 1
            task = asyncio.create_task(self._work())
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
        await asyncio.wait(answers.values())
        found = {key: answer.result() for key, answer in answers.items()}
        return {key: answer for key, answer in found.items() if answer is not None}

    def _joined(self, key: str) -> asyncio.Future[TAnswer | None]:
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(_seen)
            self._waiting.append(key)
        return answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                may_begin_again = time.monotonic() + self._begins_every_s
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer(batch)
                if self._begins_every_s:
                    await asyncio.sleep(max(0.0, may_begin_again - time.monotonic()))
        finally:
            self._working -= 1

    async def _answer(self, batch: Sequence[str]) -> None:
        try:
            found = await self._ask(batch)
        except asyncio.CancelledError:
            for key in batch:
                self._answers.pop(key).cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised again in every waiting caller
            for key in batch:
                self._answers.pop(key).set_exception(error)
        else:
            for key in batch:
                self._answers.pop(key).set_result(found.get(key))


def _seen(answer: asyncio.Future[TAnswer | None]) -> None:
    """Mark an error as retrieved, so that asyncio does not log it when no caller waits for it any more."""
    if not answer.cancelled():
        answer.exception()
