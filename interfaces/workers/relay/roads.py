"""What the relay has under way: commands, work for the BMSs, callbacks."""

from __future__ import annotations

from interfaces.workers.loops.ordered_executor import Lanes

COMMANDS_AT_ONCE = 100
"""They are carried out together."""
WORKS_AT_ONCE, CALLBACKS_AT_ONCE = 24, 8


class Roads:
    """Each has places of its own: a queue that takes no callbacks holds up no building, and the first building is on
    its way while the commands for the last are still waiting."""

    def __init__(self) -> None:
        self.commands = Lanes(COMMANDS_AT_ONCE)
        self.works = Lanes(WORKS_AT_ONCE)
        self.callbacks = Lanes(CALLBACKS_AT_ONCE)

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
    def _all(self) -> tuple[Lanes, ...]:
        return self.commands, self.works, self.callbacks
