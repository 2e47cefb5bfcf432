"""What the relay has under way: commands, work for the BMSs, callbacks."""

from __future__ import annotations

from interfaces.workers.loops.ordered_executor import KeyedExecutor

COMMANDS_AT_ONCE = 100
"""They are carried out together."""
WORKS_AT_ONCE, CALLBACKS_AT_ONCE = 24, 8


class RelayQueues:
    """Each has places of its own: a queue that takes no callbacks holds up no building, and the first building is on
    its way while the commands for the last are still waiting."""

    def __init__(self) -> None:
        self.commands = KeyedExecutor(COMMANDS_AT_ONCE)
        self.works = KeyedExecutor(WORKS_AT_ONCE)
        self.callbacks = KeyedExecutor(CALLBACKS_AT_ONCE)

    @property
    def unfinished(self) -> int:
        """Jobs that are not done, without callbacks: however many of those wait, what follows them is read."""
        return self.commands.unfinished + self.works.unfinished

    def raise_failure(self) -> None:
        """Of any job, also of one that stands behind others which are not done."""
        for lanes in self._all:
            if lanes.failure is not None:
                raise lanes.failure

    async def aclose(self) -> None:
        for lanes in self._all:
            await lanes.aclose()

    @property
    def _all(self) -> tuple[KeyedExecutor, ...]:
        return self.commands, self.works, self.callbacks
