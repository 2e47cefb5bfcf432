"""How the partitions of the telemetry log are shared out among the processes that want to work on them."""

from typing import Protocol


class PartitionAssignment(Protocol):
    """One process's share. Each partition is held by one process at a time; a dead one holds none."""

    async def wanted(self) -> frozenset[int]:
        """What this process is to work on now: asked every second, it takes what is free up to a fair share.

        What it was to work on before and is not any more is still held until it is given back, or is lost.
        Never raises: where nobody can say who holds what, it is nothing.
        """
        ...

    async def give_back(self, partition: int) -> None:
        """Work on it has ended; another process may take it."""
        ...

    async def aclose(self) -> None:
        """Give everything back."""
        ...
