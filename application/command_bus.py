"""The command bus: one call per command, with tracing, correlation, idempotency and retry on version conflict.

A handler decides on aggregates and returns a Decision; the bus saves it, and the reply under the idempotency
key, in one transaction. On a version conflict the whole handler runs again on fresh aggregates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from application.commands.dr_event import DREventCommand
from application.deciding import CommandContext, Deciding, Decision, IdempotencyKey
from application.ports.clock import Clock
from application.ports.event_store import (
    ONE_DECISION,
    WHOLE_DR_EVENT,
    EventStore,
    IdempotencyKeyTaken,
    IdempotencyRecord,
    VersionConflict,
)
from domain.struct_decoders import json_decoder

MAX_ATTEMPTS = 12

Handler = Callable[[Any, Deciding], Decision]
TReply = TypeVar("TReply")


class IdempotencyMismatch(ValueError):
    """The key was used before with another body."""


class TooManyConflicts(RuntimeError):
    """A command kept losing races; nothing was saved. Try again."""


class UnhandledCommand(LookupError):
    """No handler is registered for that command type."""


class CommandBus:
    """Runs commands through the table of handlers."""

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        handlers: Mapping[type, Handler],
        **collaborators: Any,
    ) -> None:
        self._store = store
        self._clock = clock
        self._handlers = handlers
        self._collaborators = collaborators

    def handle(
        self,
        command: msgspec.Struct,
        context: CommandContext,
        *,
        key: IdempotencyKey | None = None,
        reply_type: type[TReply] | None = None,
    ) -> TReply | Any:
        """Run `command`; the same `key` again gives the first answer and changes nothing.

        Raises the domain's refusals, IdempotencyMismatch, TooManyConflicts or UnhandledCommand.
        """
        handler = self._handlers.get(type(command))
        if handler is None:
            raise UnhandledCommand(f"no handler for {type(command).__name__}; add it to application.handlers")
        for _ in range(MAX_ATTEMPTS):
            if (known := self._answered(key)) is not None:
                return _first_answer(known, key, reply_type)
            decision = handler(command, self._deciding(context))
            record = _record(key, decision)
            # Deciding nothing may come of a twin that was saved since the look-up: its answer is the answer.
            if record is None and (known := self._answered(key)) is not None:
                return _first_answer(known, key, reply_type)
            try:
                self._store.save(
                    decision.aggregates,
                    idempotency=record,
                    bounds=WHOLE_DR_EVENT if isinstance(command, DREventCommand) else ONE_DECISION,
                )
            except (VersionConflict, IdempotencyKeyTaken):
                continue
            return decision.reply
        raise TooManyConflicts(f"{type(command).__name__} lost {MAX_ATTEMPTS} races; try again")

    def first_answer(self, key: IdempotencyKey, reply_type: type[TReply]) -> TReply | None:
        """The answer that `key` was given before, if it was. Raises IdempotencyMismatch."""
        known = self._answered(key)
        return None if known is None else _first_answer(known, key, reply_type)

    def _answered(self, key: IdempotencyKey | None) -> IdempotencyRecord | None:
        return None if key is None else self._store.find_reply(key.scope, key.key)

    def _deciding(self, context: CommandContext) -> Deciding:
        return Deciding(store=self._store, clock=self._clock, context=context, **self._collaborators)


def _record(key: IdempotencyKey | None, decision: Decision) -> IdempotencyRecord | None:
    """A key is stored only with the domain events that it stands for; a decision without any may be made again."""
    if key is None or not any(aggregate.pending_events for aggregate in decision.aggregates):
        return None
    return IdempotencyRecord(
        scope=key.scope, key=key.key, body_hash=key.body_hash, reply=msgspec.json.encode(decision.reply)
    )


def _first_answer(
    known: IdempotencyRecord, key: IdempotencyKey | None, reply_type: type[TReply] | None
) -> TReply | Any:
    if key is not None and known.body_hash != key.body_hash:
        raise IdempotencyMismatch(f"the key {key.key!r} was used before with another body; use a new key")
    return json_decoder(cast("type[Any]", reply_type or Any)).decode(known.reply)
