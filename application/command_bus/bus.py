"""The command bus: one call per command, with tracing, correlation, idempotency and retry on version conflict.

A handler decides on aggregates and returns a Decision; the bus saves it, and the reply under the idempotency
key, in one transaction. On a version conflict the whole handler runs again on fresh aggregates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

import msgspec

from application.command_bus.decision_context import CommandContext, Decision, DecisionContext, IdempotencyKey
from application.command_bus.prefetch import ReadAhead, streams_of
from application.commands.dr_event import DREventCommand
from application.ports.clock import Clock
from application.ports.event_store.event_store import (
    ONE_DECISION,
    WHOLE_DR_EVENT,
    EventStore,
    EventStoreUnavailable,
    EventStreams,
    IdempotencyKeyTaken,
    IdempotencyRecord,
    SaveBounds,
    SaveRequest,
    ScopedKey,
    VersionConflict,
)
from domain.event_sourcing.json_decoders import json_decoder

MAX_ATTEMPTS = 12

Handler = Callable[[Any, DecisionContext], Decision]
TReply = TypeVar("TReply")


class IdempotencyMismatch(ValueError):
    """The key was used before with another body."""


class TooManyConflicts(RuntimeError):
    """A command kept losing races; nothing was saved. Try again."""


class UnhandledCommand(LookupError):
    """No handler is registered for that command type."""


@dataclass(frozen=True)
class Asked:
    """A command as `CommandBus.handle` takes it."""

    command: msgspec.Struct
    context: CommandContext
    key: IdempotencyKey | None = None


class Outcome(NamedTuple):
    """The reply, or what would have been raised."""

    reply: Any = None
    error: Exception | None = None


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
        admit: Callable[[], None] | None = None,
    ) -> TReply | Any:
        """Run `command`. The same `key` again returns the first reply and changes nothing.

        `admit` runs once, after the look-up of the key and before the handler. A repeated key skips it, so a repeat is
        answered even while new commands are refused. Whatever `admit` raises refuses the command.
        Raises the domain's refusals, IdempotencyMismatch, TooManyConflicts or UnhandledCommand.
        """
        handler = self._handler(command)
        for attempt in range(MAX_ATTEMPTS):
            if (stored := self._stored_reply(key)) is not None:
                return _decode_reply(stored, key, reply_type)
            if admit is not None and attempt == 0:
                admit()
            decision = handler(command, self._decision_context(context, self._store))
            record = _record(key, decision)
            # No domain events: a request with the same key may have been saved since the look-up. Its reply counts.
            if record is None and (stored := self._stored_reply(key)) is not None:
                return _decode_reply(stored, key, reply_type)
            try:
                self._store.save(decision.aggregates, idempotency=record, bounds=_bounds(command))
            except (VersionConflict, IdempotencyKeyTaken):
                continue
            return decision.reply
        raise TooManyConflicts(f"{type(command).__name__} lost {MAX_ATTEMPTS} races; try again")

    def handle_all(self, asked: Sequence[Asked]) -> list[Outcome]:
        """Each as by `handle`, and whatever becomes of the others; read together, and saved together.

        For commands that were given at the same moment: none of them sees what another of them did.
        """
        try:
            found = self._decided(asked)
        except EventStoreUnavailable as error:
            return [Outcome(error=EventStoreUnavailable(str(error))) for _ in asked]
        outcomes = {number: one for number, one in found.items() if isinstance(one, Outcome)}
        decisions = {number: one for number, one in found.items() if isinstance(one, Decision)}
        savings = [_saving(asked[number], decision) for number, decision in decisions.items()]
        refusals = self._store.save_each(savings)
        for (number, decision), refusal in zip(decisions.items(), refusals, strict=True):
            if refusal is None:
                outcomes[number] = Outcome(decision.reply)
            elif not isinstance(refusal, VersionConflict | IdempotencyKeyTaken):
                outcomes[number] = Outcome(error=refusal)
        return [outcomes.get(number) or self.outcome_of(one) for number, one in enumerate(asked)]

    def outcome_of(self, asked: Asked) -> Outcome:
        """`handle`, with what it raises as a value."""
        try:
            return Outcome(self.handle(asked.command, asked.context, key=asked.key))
        except Exception as error:  # noqa: BLE001 - raised where that command was given
            return Outcome(error=error)

    def _decided(self, asked: Sequence[Asked]) -> dict[int, Outcome | Decision]:
        """By number, without those that have to be handled by themselves, after the others.

        Raises EventStoreUnavailable.
        """
        ahead = ReadAhead(self._store, [one.command for one in asked])
        known = self._replies([_scoped(one.key) for one in asked if one.key is not None])
        found: dict[int, Outcome | Decision] = {}
        written: set[UUID | None] = set()
        for number, one in enumerate(asked):
            stream = next(iter(streams_of(one.command)), None)
            if stream is None or stream not in written:
                found[number] = self._tried(one, ahead, known)
            written.add(stream)
        # No domain events: a request with the same key may have been saved since the look-up. Its reply counts.
        unsaved = [
            (number, _scoped(key))
            for number, one in found.items()
            if isinstance(one, Decision)
            and (key := asked[number].key) is not None
            and _record(key, one) is None
        ]
        twins = self._replies([scoped for _, scoped in unsaved])
        for number, scoped in unsaved:
            if scoped in twins:
                del found[number]
        return found

    def _replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        return self._store.find_replies(keys) if keys else {}

    def _tried(
        self, asked: Asked, streams: EventStreams, known: Mapping[ScopedKey, IdempotencyRecord]
    ) -> Outcome | Decision:
        try:
            if asked.key is not None and (record := known.get(_scoped(asked.key))) is not None:
                return Outcome(_decode_reply(record, asked.key, None))
            return self._handler(asked.command)(asked.command, self._decision_context(asked.context, streams))
        except Exception as error:  # noqa: BLE001 - raised where that command was given
            return Outcome(error=error)

    def _stored_reply(self, key: IdempotencyKey | None) -> IdempotencyRecord | None:
        return None if key is None else self._store.find_reply(key.scope, key.key)

    def _handler(self, command: msgspec.Struct) -> Handler:
        handler = self._handlers.get(type(command))
        if handler is None:
            raise UnhandledCommand(f"no handler for {type(command).__name__}; add it to application.handlers")
        return handler

    def _decision_context(self, context: CommandContext, streams: EventStreams) -> DecisionContext:
        return DecisionContext(store=streams, clock=self._clock, context=context, **self._collaborators)


def _scoped(key: IdempotencyKey) -> ScopedKey:
    return key.scope, key.key


def _saving(asked: Asked, decision: Decision) -> SaveRequest:
    return SaveRequest(decision.aggregates, _record(asked.key, decision), _bounds(asked.command))


def _bounds(command: msgspec.Struct) -> SaveBounds:
    return WHOLE_DR_EVENT if isinstance(command, DREventCommand) else ONE_DECISION


def _record(key: IdempotencyKey | None, decision: Decision) -> IdempotencyRecord | None:
    """A key is stored only with the domain events that it stands for; a decision without any may be made again."""
    if key is None or not any(aggregate.pending_events for aggregate in decision.aggregates):
        return None
    return IdempotencyRecord(
        scope=key.scope, key=key.key, body_hash=key.body_hash, reply=msgspec.json.encode(decision.reply)
    )


def _decode_reply(
    known: IdempotencyRecord, key: IdempotencyKey | None, reply_type: type[TReply] | None
) -> TReply | Any:
    if key is not None and known.body_hash != key.body_hash:
        raise IdempotencyMismatch(f"the key {key.key!r} was used before with another body; use a new key")
    return json_decoder(cast("type[Any]", reply_type or Any)).decode(known.reply)
