"""How the locks of one kind are distributed among the processes that compete for them."""

from collections.abc import Mapping
from typing import Protocol


class LockHolders(Protocol):
    """Locks as in application.ports.coordination.exclusive_lock, several of which one process may hold."""

    async def count_by_holder(self) -> Mapping[str, int]:
        """The number of locks that each process holds, by process; a process that waits and holds none counts
        0.

        Raises ConnectionError when the numbers are not available now.
        """
        ...
