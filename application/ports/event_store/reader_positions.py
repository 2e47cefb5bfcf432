"""How far a reader that acts on a log has come."""

from typing import Protocol


class ReaderPositions(Protocol):
    """One position per reader (synchronous)."""

    def position(self, reader: str) -> int:
        """0 before the first."""
        ...

    def move(self, reader: str, position: int) -> None:
        """Remember that everything up to `position` was acted on; never moves back."""
        ...
