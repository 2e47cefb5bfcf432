"""Batching of commands that are given at the same moment in one process.

A thread for each command would cost constant thread switches, and each thread would load aggregates for
itself. A single command does not wait. Commands that arrive while a batch runs form the next batch.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from application.command_bus.bus import CommandBus, CommandRequest, Outcome
from application.command_bus.decision_context import CommandContext, IdempotencyKey

MAX_BATCH_SIZE = 100


class CommandBatcher:
    """An awaitable `CommandBus.handle`."""

    def __init__(self, bus: CommandBus) -> None:
        self._bus = bus
        self._waiting: list[tuple[CommandRequest, asyncio.Future[Outcome]]] = []
        self._work: asyncio.Task[None] | None = None

    async def handle(
        self, command: msgspec.Struct, context: CommandContext, *, key: IdempotencyKey | None = None
    ) -> Any:
        """The reply. Raises what `CommandBus.handle` raises."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((CommandRequest(command, context, key), future))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run())
        outcome = await future
        if outcome.error is not None:
            raise outcome.error
        return outcome.reply

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH_SIZE], self._waiting[MAX_BATCH_SIZE:]
            try:
                outcomes = await asyncio.to_thread(self._bus.handle_all, [request for request, _ in batch])
            except Exception as error:  # noqa: BLE001 - raised at the callers of the commands
                outcomes = [Outcome(error=error) for _ in batch]
            except BaseException:
                # The process ends: cancel every future, so that no caller waits for ever.
                for _, future in [*batch, *self._waiting]:
                    future.cancel()
                self._waiting.clear()
                raise
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)
