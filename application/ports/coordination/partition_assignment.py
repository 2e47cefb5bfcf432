"""How the partitions of the telemetry log are assigned to the processes that work on them."""

from typing import Protocol


class PartitionAssignment(Protocol):
    """The assignment of one process. Each partition is held by one process at a time; a dead process holds
    none."""

    async def assigned(self) -> frozenset[int]:
        """The partitions that this process shall work on now. Call it every second: each call acquires free
        partitions up to a fair share.

        A partition that is no longer assigned stays held until it is released or lost. Never raises: while
        the holders cannot be determined, the result is empty.
        """
        ...

    async def release(self, partition: int) -> None:
        """End work on a partition, so that another process may acquire it."""
        ...

    async def aclose(self) -> None:
        """Release all partitions."""
        ...
