"""ReaderPositions in memory."""


class FakeReaderPositions:
    def __init__(self) -> None:
        self._positions: dict[str, int] = {}

    def position(self, reader: str) -> int:
        return self._positions.get(reader, 0)

    def move(self, reader: str, position: int) -> None:
        self._positions[reader] = max(position, self.position(reader))
