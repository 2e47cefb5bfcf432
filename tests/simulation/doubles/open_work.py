"""Open work as one process sees it: away with the database, losing answers, held by a lock that may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from application.ports.dispatch.open_work import OpenWorkUnavailable
from tests.fakes.coordination.locks import Hold, LockBoard
from tests.fakes.dispatch.open_work import FakeOpenWork
from tests.simulation.scenario.fault_injection import FaultInjector

HOLDER = "work holder "


class HoldersOnBoard:
    """The numbers whose locks are held, in place of `FakeOpenWork.living`."""

    def __init__(self, board: LockBoard) -> None:
        self._board = board

    def __contains__(self, holder: object) -> bool:
        return f"{HOLDER}{holder}" in self._board.held_by

    def add(self, holder: int) -> None:
        """The process that draws a number acquires its lock."""


@dataclass
class _NumberLock:
    """A lost number is noticed at `lost_at`, by the loop's time."""

    lost_at: float | None = None

    def reschedule(self, when: float) -> None:
        self.lost_at = when

    @property
    def is_noticed(self) -> bool:
        return self.lost_at is not None and asyncio.get_running_loop().time() >= self.lost_at


class SimulatedWorkHolder:
    """WorkHolder of one process. `reach` raises OpenWorkUnavailable while the database is away."""

    def __init__(
        self, rows: FakeOpenWork, board: LockBoard, process: object, reach: Callable[[], None]
    ) -> None:
        self._rows, self._board, self._process, self._reach = rows, board, process, reach
        self._number = 0
        self._lock = _NumberLock(lost_at=0.0)

    async def number(self) -> int:
        if self._lock.is_noticed:
            self._reach()
            self._number, self._lock = self._rows.new_holder(), _NumberLock()
            self._board.held_by[f"{HOLDER}{self._number}"] = Hold(self._process, cast("Any", self._lock))
        return self._number


class SimulatedOpenWork:
    """OpenWorkRows of one process."""

    def __init__(self, rows: FakeOpenWork, reach: Callable[[], None], injector: FaultInjector) -> None:
        self._rows, self._reach, self._injector = rows, reach, injector

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._rows, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._reach()
            answer = method(*args, **kwargs)
            if self._injector.strikes("open_work.loses_answer", name):
                raise OpenWorkUnavailable(f"simulated: {name} was done, but the response was lost")
            return answer

        return call
