"""Writes of several threads in one transaction: while one is written, those that come wait and go in together.

Each partition of the telemetry log has a thread of its own; a transaction a partition costs more than what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from application.ports.telemetry.store import TelemetryStoreUnavailable

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Waiting(Generic[Asked, Answer]):
    """One caller's part."""

    __slots__ = ("answer", "asked", "failure", "is_over")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answer: list[Answer] = []
        self.failure: Exception | None = None
        self.is_over = False

    def result(self) -> Answer:
        if self.failure is not None:
            raise self.failure
        return self.answer[0]


class GroupedWrites(Generic[Asked, Answer]):
    """`write` takes what several callers ask, in one transaction, and answers each. What fails together is tried one by
    one, unless the store is away: the rows of one caller are not another's fault."""

    def __init__(self, write: Callable[[Sequence[Asked]], Sequence[Answer]]) -> None:
        self._write = write
        self._waiting: list[_Waiting[Asked, Answer]] = []
        self._list = Lock()
        self._turn = Lock()

    def __call__(self, asked: Asked) -> Answer:
        """Once it is written. Raises what `write` raised of it."""
        mine = _Waiting[Asked, Answer](asked)
        with self._list:
            self._waiting.append(mine)
        with self._turn:
            if not mine.is_over:
                with self._list:
                    group, self._waiting = self._waiting, []
                self._settle(group)
        return mine.result()

    def _settle(self, group: Sequence[_Waiting[Asked, Answer]]) -> None:
        try:
            answers = self._write([one.asked for one in group])
            for one, answer in zip(group, answers, strict=True):
                one.answer.append(answer)
        except TelemetryStoreUnavailable as error:
            for one in group:
                one.failure = error
        except Exception as error:  # noqa: BLE001 - whatever it was, its caller hears of it
            if len(group) == 1:
                group[0].failure = error
            else:
                for one in group:
                    self._settle([one])
        finally:
            for one in group:
                one.is_over = True
                if not one.answer and one.failure is None:
                    one.failure = TelemetryStoreUnavailable("the write was broken off")
