"""The position up to which a reader has processed a log."""

from typing import Protocol


class ReaderPositions(Protocol):
    """The position of each reader (synchronous)."""

    def position(self, reader: str) -> int:
        """The last processed position; 0 before the first."""
        ...

    def move(self, reader: str, position: int) -> None:
        """Record that everything up to `position` was processed. A position never moves back."""
        ...
