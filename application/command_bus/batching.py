"""Batching of commands that are given at the same moment in one process.

A thread for each command would cost constant thread switches, and each thread would load aggregates for
itself. A single command does not wait. Commands that arrive while a batch runs form the next batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from application.command_bus.bus import CommandBus, CommandRequest, Outcome
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.ports.unavailable import UNAVAILABLE

MAX_BATCH_SIZE = 100
_log = structlog.get_logger(__name__)


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

    def _outcomes(self, requests: Sequence[CommandRequest]) -> list[Outcome]:
        """After an error that is not that of one request each is handled by itself: only one may be at fault."""
        try:
            return self._bus.handle_all(requests)
        except UNAVAILABLE as error:
            return [Outcome(error=error) for _ in requests]
        except Exception:  # noqa: BLE001 - each outcome has the error of its own command
            _log.exception("a batch failed; its commands are handled one by one", commands=len(requests))
            return [self._bus.outcome_of(request) for request in requests]

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH_SIZE], self._waiting[MAX_BATCH_SIZE:]
            try:
                outcomes = await asyncio.to_thread(self._outcomes, [request for request, _ in batch])
            except BaseException:
                # The process ends: cancel every future, so that no caller waits for ever.
                for _, future in [*batch, *self._waiting]:
                    future.cancel()
                self._waiting.clear()
                raise
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():
                    future.set_result(outcome)
