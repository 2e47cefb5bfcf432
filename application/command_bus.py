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

from application.commands.dr_event import DREventCommand
from application.deciding import CommandContext, Deciding, Decision, IdempotencyKey
from application.ports.clock import Clock
from application.ports.event_store import (
    ONE_DECISION,
    WHOLE_DR_EVENT,
    EventStore,
    EventStoreUnavailable,
    IdempotencyKeyTaken,
    IdempotencyRecord,
    SaveBounds,
    Saving,
    VersionConflict,
)
from application.read_ahead import read_ahead, streams_of
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
    ) -> TReply | Any:
        """Run `command`; the same `key` again gives the first answer and changes nothing.

        Raises the domain's refusals, IdempotencyMismatch, TooManyConflicts or UnhandledCommand.
        """
        handler = self._handler(command)
        for _ in range(MAX_ATTEMPTS):
            if (known := self._answered(key)) is not None:
                return _first_answer(known, key, reply_type)
            decision = handler(command, self._deciding(context, self._store))
            record = _record(key, decision)
            # Deciding nothing may come of a twin that was saved since the look-up: its answer is the answer.
            if record is None and (known := self._answered(key)) is not None:
                return _first_answer(known, key, reply_type)
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
        ahead = read_ahead(self._store, [(one.command, one.key) for one in asked])
        outcomes: dict[int, Outcome] = {}
        savings: dict[int, tuple[Decision, Saving]] = {}
        unsaved: dict[int, Decision] = {}
        written: set[UUID] = set()
        for number, one in enumerate(asked):
            stream = next(iter(streams_of(one.command)), None)
            if stream in written:
                continue  # it might rest on what is decided here: by itself, below
            if stream is not None:
                written.add(stream)
            try:
                found = self._decided(one, ahead)
            except Exception as error:  # noqa: BLE001 - raised where that command was given
                outcomes[number] = Outcome(error=error)
                continue
            if isinstance(found, Outcome):
                outcomes[number] = found
            elif (record := _record(one.key, found)) is None and one.key is not None:
                unsaved[number] = found
            else:
                savings[number] = found, Saving(found.aggregates, record, _bounds(one.command))
        outcomes |= self._of_nothing(asked, unsaved)
        answers = self._store.save_each([saving for _, saving in savings.values()])
        for (number, (decision, _)), refusal in zip(savings.items(), answers, strict=True):
            if not isinstance(refusal, VersionConflict | IdempotencyKeyTaken):
                outcomes[number] = Outcome(decision.reply if refusal is None else None, refusal)
        return [outcomes.get(number) or self.outcome_of(one) for number, one in enumerate(asked)]

    def outcome_of(self, asked: Asked) -> Outcome:
        """`handle`, with what it raises as a value."""
        try:
            return Outcome(self.handle(asked.command, asked.context, key=asked.key))
        except Exception as error:  # noqa: BLE001 - raised where that command was given
            return Outcome(error=error)

    def _of_nothing(self, asked: Sequence[Asked], unsaved: Mapping[int, Decision]) -> dict[int, Outcome]:
        """Deciding nothing may come of a twin that was saved since the look-up: its answer is the answer."""
        keys = {number: key for number in unsaved if (key := asked[number].key) is not None}
        if not keys:
            return {}
        try:
            replies = self._store.find_replies([(key.scope, key.key) for key in keys.values()])
        except EventStoreUnavailable as error:
            return dict.fromkeys(keys, Outcome(error=error))
        return {
            number: Outcome(decision.reply)
            if (known := replies.get((keys[number].scope, keys[number].key))) is None
            else _outcome_again(known, keys[number])
            for number, decision in unsaved.items()
        }

    def _decided(self, asked: Asked, store: EventStore) -> Outcome | Decision:
        """An outcome where that key had its answer before."""
        handler = self._handler(asked.command)
        if asked.key is not None and (known := store.find_reply(asked.key.scope, asked.key.key)) is not None:
            return Outcome(_first_answer(known, asked.key, None))
        return handler(asked.command, self._deciding(asked.context, store))

    def first_answer(self, key: IdempotencyKey, reply_type: type[TReply]) -> TReply | None:
        """The answer that `key` was given before, if it was. Raises IdempotencyMismatch."""
        known = self._answered(key)
        return None if known is None else _first_answer(known, key, reply_type)

    def _answered(self, key: IdempotencyKey | None) -> IdempotencyRecord | None:
        return None if key is None else self._store.find_reply(key.scope, key.key)

    def _handler(self, command: msgspec.Struct) -> Handler:
        handler = self._handlers.get(type(command))
        if handler is None:
            raise UnhandledCommand(f"no handler for {type(command).__name__}; add it to application.handlers")
        return handler

    def _deciding(self, context: CommandContext, store: EventStore) -> Deciding:
        return Deciding(store=store, clock=self._clock, context=context, **self._collaborators)


def _bounds(command: msgspec.Struct) -> SaveBounds:
    return WHOLE_DR_EVENT if isinstance(command, DREventCommand) else ONE_DECISION


def _record(key: IdempotencyKey | None, decision: Decision) -> IdempotencyRecord | None:
    """A key is stored only with the domain events that it stands for; a decision without any may be made again."""
    if key is None or not any(aggregate.pending_events for aggregate in decision.aggregates):
        return None
    return IdempotencyRecord(
        scope=key.scope, key=key.key, body_hash=key.body_hash, reply=msgspec.json.encode(decision.reply)
    )


def _outcome_again(known: IdempotencyRecord, key: IdempotencyKey) -> Outcome:
    try:
        return Outcome(_first_answer(known, key, None))
    except IdempotencyMismatch as mismatch:
        return Outcome(error=mismatch)


def _first_answer(
    known: IdempotencyRecord, key: IdempotencyKey | None, reply_type: type[TReply] | None
) -> TReply | Any:
    if key is not None and known.body_hash != key.body_hash:
        raise IdempotencyMismatch(f"the key {key.key!r} was used before with another body; use a new key")
    return json_decoder(cast("type[Any]", reply_type or Any)).decode(known.reply)
