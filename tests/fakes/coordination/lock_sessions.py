"""LockSessions over the board of FakeLocks."""

from collections.abc import Mapping, Sequence

from tests.fakes.coordination.locks import LockBoard


class FakeLockSessions:
    def __init__(self, board: LockBoard) -> None:
        self._board = board

    def holders(self, names: Sequence[str]) -> Mapping[str, str]:
        return {name: str(id(self._board.held_by[name])) for name in names if name in self._board.held_by}
