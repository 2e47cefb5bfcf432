"""Call slots: how many BMS calls may run at once in the whole system."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class CallSlots(Protocol):
    """At most a fixed number of blocks hold a slot at a time; a dead process holds none."""

    def held(self, *, urgent: bool = True, goes_on: bool = False) -> AbstractAsyncContextManager[None]:
        """Wait for a slot, hold it inside the block. Who is not urgent lets the urgent of its process go first, and of
        the urgent those who begin something let those go first who go on with it."""
        ...

    async def aclose(self) -> None:
        """Give back what is held; the object is of no use afterwards."""
        ...
