"""Commands of one process that are given at the same moment, carried out together.

A thread for each would have the interpreter handed from one to the other all the time, and each would read for itself.
A command that is given alone waits for nothing; what is given while others are carried out is the next batch.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from application.command_bus.bus import Asked, CommandBus, Outcome
from application.command_bus.decision_context import CommandContext, IdempotencyKey

MOST_TOGETHER = 100


class CommandBatcher:
    """`CommandBus.handle`, to be awaited."""

    def __init__(self, bus: CommandBus) -> None:
        self._bus = bus
        self._waiting: list[tuple[Asked, asyncio.Future[Outcome]]] = []
        self._work: asyncio.Task[None] | None = None

    async def handle(
        self, command: msgspec.Struct, context: CommandContext, *, key: IdempotencyKey | None = None
    ) -> Any:
        """The reply. Raises what `CommandBus.handle` raises."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((Asked(command, context, key), future))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._carry_out())
        outcome = await future
        if outcome.error is not None:
            raise outcome.error
        return outcome.reply

    async def _carry_out(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            try:
                outcomes = await asyncio.to_thread(self._bus.handle_all, [asked for asked, _ in batch])
            except Exception as error:  # noqa: BLE001 - raised where the commands were given
                outcomes = [Outcome(error=error) for _ in batch]
            except BaseException:
                # This process ends: nobody waits for ever for what will not be carried out.
                for _, future in [*batch, *self._waiting]:
                    future.cancel()
                self._waiting.clear()
                raise
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)
