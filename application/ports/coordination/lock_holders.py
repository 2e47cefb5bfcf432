"""How the turns of one kind are shared out among the processes that want them."""

from collections.abc import Mapping
from typing import Protocol


class LockHolders(Protocol):
    """Turns as of application.ports.coordination.exclusive_lock, several of which one process may hold."""

    async def held_by(self) -> Mapping[str, int]:
        """Process -> how many of the turns it holds; one that waits and holds none is there with 0.

        Raises ConnectionError when that cannot be known now.
        """
        ...
