"""Call slots: a limit on the BMS calls that run at the same time in the whole system."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class CallSlots(Protocol):
    """At most a fixed number of blocks hold a slot at a time; a dead process holds none."""

    def held(self, *, urgent: bool = True, continues: bool = False) -> AbstractAsyncContextManager[None]:
        """Wait for a slot and hold it inside the block.

        Within a process, urgent calls get a slot before the others. Of the urgent ones, those that continue a
        piece of work (`continues`) get a slot before those that begin one. A call that is not urgent and begins a
        piece of work asks for no slot while urgent calls hold or want one, for a limited time: these may hang.
        """
        ...

    async def aclose(self) -> None:
        """Release all slots. The object cannot be used afterwards."""
        ...
