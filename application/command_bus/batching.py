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

from application.async_batcher import AsyncBatcher
from application.command_bus.bus import CommandBus, CommandRequest, Outcome
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.ports.unavailable import UNAVAILABLE

MAX_BATCH_SIZE = 100
_log = structlog.get_logger(__name__)


class CommandBatcher:
    """An awaitable `CommandBus.handle`."""

    def __init__(self, bus: CommandBus) -> None:
        self._bus = bus
        self._batches: AsyncBatcher[CommandRequest, Any] = AsyncBatcher(
            self._handle_all, limit=MAX_BATCH_SIZE
        )

    async def handle(
        self, command: msgspec.Struct, context: CommandContext, *, key: IdempotencyKey | None = None
    ) -> Any:
        """The reply. Raises what `CommandBus.handle` raises."""
        return await self._batches.get(CommandRequest(command, context, key))

    async def _handle_all(self, requests: Sequence[CommandRequest]) -> list[Any]:
        outcomes = await asyncio.to_thread(self._outcomes, requests)
        return [outcome.reply if outcome.error is None else outcome.error for outcome in outcomes]

    def _outcomes(self, requests: Sequence[CommandRequest]) -> list[Outcome]:
        """After an error that is not that of one request each is handled by itself: only one may be at fault."""
        try:
            return self._bus.handle_all(requests)
        except UNAVAILABLE:
            raise
        except Exception:  # noqa: BLE001 - each outcome has the error of its own command
            _log.exception("a batch failed; its commands are handled one by one", commands=len(requests))
            return [self._bus.outcome_of(request) for request in requests]
