"""PartitionAssignment on the board of FakeLocks: a process that dies or loses its session there holds no partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, cast

from tests.fakes.coordination.locks import Hold, LockBoard

MEMBER, PARTITION = "member of the partitions ", "partition "


@dataclass
class _Loss:
    """A lost partition is noticed at the next call of `assigned`."""

    def reschedule(self, when: float) -> None:
        return


class FakePartitionAssignment:
    """That of one process; without a `board`, of a system of its own."""

    def __init__(
        self, partitions: Sequence[int], board: LockBoard | None = None, process: object | None = None
    ) -> None:
        self._partitions = list(partitions)
        self._board = LockBoard() if board is None else board
        self._process = self if process is None else process
        self._member = f"{MEMBER}{id(self._process)}"

    async def assigned(self) -> frozenset[int]:
        self._acquire(self._member)
        members = sum(name.startswith(MEMBER) for name in self._board.held_by)
        fair_share = ceil(len(self._partitions) / members)
        held = [p for p in self._partitions if self._holder(p) is self._process]
        for partition in self._partitions:
            if len(held) < fair_share and self._holder(partition) is None:
                self._acquire(f"{PARTITION}{partition}")
                held.append(partition)
        return frozenset(held[:fair_share])

    async def release(self, partition: int) -> None:
        if self._holder(partition) is self._process:
            self._board.free(f"{PARTITION}{partition}")

    async def aclose(self) -> None:
        for partition in self._partitions:
            await self.release(partition)
        if self._member in self._board.held_by:
            self._board.free(self._member)

    def _holder(self, partition: int) -> object | None:
        hold = self._board.held_by.get(f"{PARTITION}{partition}")
        return None if hold is None else hold.process

    def _acquire(self, name: str) -> None:
        self._board.held_by.setdefault(name, Hold(self._process, cast("Any", _Loss())))
