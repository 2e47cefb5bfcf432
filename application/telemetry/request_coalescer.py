"""Many who ask for the same thing, and one question.

What is asked for while an answer is under way is gathered, and goes out in one question when it is there. Whoever asks
for what is under way already shares that answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

TAnswer = TypeVar("TAnswer")


class RequestCoalescer(Generic[TAnswer]):
    """`ask` answers many keys in one round trip; at most `at_once` of them run, each with at most `most` keys.

    Of one event loop.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[str]], Awaitable[Mapping[str, TAnswer]]],
        *,
        most: int = 1_000,
        at_once: int = 1,
        begins_every_s: float = 0.0,
    ) -> None:
        """`begins_every_s` wall seconds lie between the beginnings of two questions that follow each other: where one
        costs about as much for one key as for ten."""
        self._begins_every_s = begins_every_s
        self._ask = ask
        self._most = most
        self._at_once = at_once
        self._answers: dict[str, asyncio.Future[TAnswer | None]] = {}
        self._waiting: list[str] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._working = 0

    async def get(self, keys: Sequence[str]) -> dict[str, TAnswer]:
        """What was found of `keys`. Raises what `ask` raised; who stops waiting disturbs nobody."""
        if not keys:
            return {}
        answers = {key: self._joined(key) for key in keys}
        if self._working < self._at_once and self._waiting:
            # Counted here and in its last step: a task is done some time before its callbacks say so.
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
        except Exception as error:  # noqa: BLE001 - raised again by everyone who waits for it
            for key in batch:
                self._answers.pop(key).set_exception(error)
        else:
            for key in batch:
                self._answers.pop(key).set_result(found.get(key))


def _seen(answer: asyncio.Future[TAnswer | None]) -> None:
    """An error that nobody waits for any more is not worth a complaint of asyncio's."""
    if not answer.cancelled():
        answer.exception()
