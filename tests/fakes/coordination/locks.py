"""Locks in memory, as fault storms run on. Those that share a board stand for processes of one system."""

from tests.simulation.doubles.locks import LockBoard, MemoryLocks


class FakeLocks(MemoryLocks):
    """Of one process; without a `board`, of a system of its own."""

    def __init__(self, board: LockBoard | None = None) -> None:
        super().__init__(LockBoard() if board is None else board)
