"""Locks in memory, as in the fault simulation. Those with one board represent processes of one system."""

from tests.simulation.doubles.locks import LockBoard, MemoryLocks


class FakeLocks(MemoryLocks):
    """The locks of one process; without a `board`, of a separate system."""

    def __init__(self, board: LockBoard | None = None) -> None:
        super().__init__(LockBoard() if board is None else board)
