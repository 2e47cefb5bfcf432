"""The command bus: one call per command, with tracing, correlation, idempotency and retry on version conflict.

A handler decides on aggregates and returns a Decision. The bus saves the decision, with the reply under the
idempotency key, in one transaction. On a version conflict the whole handler runs again on fresh aggregates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

import msgspec

from application.command_bus.decision_context import CommandContext, Decision, DecisionContext, IdempotencyKey
from application.command_bus.prefetch import PrefetchedStreams, streams_to_load
from application.command_bus.spans import SaveSpans, SpanArguments, open_span, traced
from application.command_bus.trace_context import span_id_of
from application.commands.dr_event import DREventCommand
from application.commands.facility import RegisterFacility
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
from domain.event_sourcing.decoders import json_decoder

MAX_ATTEMPTS = 12

Handler = Callable[[Any, DecisionContext], Decision]
TReply = TypeVar("TReply")


class IdempotencyMismatch(ValueError):
    """The idempotency key was used before with another body."""


class TooManyConflicts(RuntimeError):
    """A command lost every race against other saves. Nothing was saved. Try again."""


class UnhandledCommand(LookupError):
    """No handler is registered for that command type."""


@dataclass(frozen=True)
class CommandRequest:
    """The arguments of one `CommandBus.handle`."""

    command: msgspec.Struct
    context: CommandContext
    key: IdempotencyKey | None = None


class Outcome(NamedTuple):
    """The reply of a command, or the error that it raised."""

    reply: Any = None
    error: Exception | None = None


class CommandBus:
    """Runs each command through its handler and saves the decision."""

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
        with traced(**span_of(command, context)) as span:
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
                saved = SaveSpans.begin(span, decision.aggregates)
                try:
                    self._store.save(decision.aggregates, idempotency=record, bounds=_bounds(command))
                except (VersionConflict, IdempotencyKeyTaken):
                    continue
                saved.end()
                return decision.reply
            raise TooManyConflicts(f"{type(command).__name__} lost {MAX_ATTEMPTS} races; try again")

    def rehearse(self, command: msgspec.Struct, context: CommandContext) -> Decision:
        """The decision that `command` would get now: its aggregates have pending domain events, if any. Nothing is
        saved.

        Raises as `handle`.
        """
        return self._handler(command)(command, self._decision_context(context, self._store))

    def handle_all(self, requests: Sequence[CommandRequest]) -> list[Outcome]:
        """Handle each request like `handle`, independently of the others, with shared loads and shared saves.

        The requests are concurrent: none of them sees the effects of another.
        """
        spans = [open_span(**span_of(one.command, one.context)) for one in requests]
        try:
            results = self._decide_all(requests)
        except EventStoreUnavailable as error:
            return [Outcome(error=EventStoreUnavailable(str(error))) for _ in requests]
        outcomes = {number: one for number, one in results.items() if isinstance(one, Outcome)}
        decisions = {number: one for number, one in results.items() if isinstance(one, Decision)}
        saves = [_save_request(requests[number], decision) for number, decision in decisions.items()]
        saved = {number: SaveSpans.begin(spans[number], one.aggregates) for number, one in decisions.items()}
        refusals = self._store.save_each(saves)
        for (number, decision), refusal in zip(decisions.items(), refusals, strict=True):
            if refusal is None:
                outcomes[number] = Outcome(decision.reply)
                saved[number].end()
            elif not isinstance(refusal, VersionConflict | IdempotencyKeyTaken):
                outcomes[number] = Outcome(error=refusal)
        for number, outcome in outcomes.items():  # the others get a span of their own in `handle`
            if (span := spans[number]) is not None:
                span.end(outcome.error)
        return [outcomes.get(number) or self.outcome_of(one) for number, one in enumerate(requests)]

    def command_type(self, name: str) -> type[msgspec.Struct]:
        """The command of that class name. Raises UnhandledCommand."""
        for command_type in self._handlers:
            if command_type.__name__ == name:
                return command_type
        raise UnhandledCommand(f"this release has no command {name}")

    def outcome_of(self, request: CommandRequest) -> Outcome:
        """Call `handle` and return what it raises as a value."""
        try:
            return Outcome(self.handle(request.command, request.context, key=request.key))
        except Exception as error:  # noqa: BLE001 - raised at the caller of that command
            return Outcome(error=error)

    def _decide_all(self, requests: Sequence[CommandRequest]) -> dict[int, Outcome | Decision]:
        """Results by number. Requests that must be handled one by one afterwards are left out.

        Raises EventStoreUnavailable.
        """
        streams = PrefetchedStreams(self._store, [one.command for one in requests])
        replies = self._stored_replies([_scoped(one.key) for one in requests if one.key is not None])
        results: dict[int, Outcome | Decision] = {}
        written: set[UUID | None] = set()
        for number, one in enumerate(requests):
            stream = next(iter(streams_to_load(one.command)), None)
            if stream is None or stream not in written:
                results[number] = self._decide(one, streams, replies)
            written.add(stream)
        # No domain events: a request with the same key may have been saved since the look-up. Its reply counts.
        unsaved = [
            (number, _scoped(key))
            for number, one in results.items()
            if isinstance(one, Decision)
            and (key := requests[number].key) is not None
            and _record(key, one) is None
        ]
        later_replies = self._stored_replies([scoped for _, scoped in unsaved])
        for number, scoped in unsaved:
            if scoped in later_replies:
                del results[number]
        return results

    def _stored_replies(self, keys: Sequence[ScopedKey]) -> Mapping[ScopedKey, IdempotencyRecord]:
        return self._store.find_replies(keys) if keys else {}

    def _decide(
        self,
        request: CommandRequest,
        streams: EventStreams,
        replies: Mapping[ScopedKey, IdempotencyRecord],
    ) -> Outcome | Decision:
        try:
            if request.key is not None and (stored := replies.get(_scoped(request.key))) is not None:
                return Outcome(_decode_reply(stored, request.key, None))
            context = self._decision_context(request.context, streams)
            return self._handler(request.command)(request.command, context)
        except Exception as error:  # noqa: BLE001 - raised at the caller of that command
            return Outcome(error=error)

    def _stored_reply(self, key: IdempotencyKey | None) -> IdempotencyRecord | None:
        return None if key is None else self._store.find_reply(key.scope, key.key)

    def _handler(self, command: msgspec.Struct) -> Handler:
        handler = self._handlers.get(type(command))
        if handler is None:
            raise UnhandledCommand(f"no handler for {type(command).__name__}; add it to application.handlers")
        return handler

    def _decision_context(self, context: CommandContext, streams: EventStreams) -> DecisionContext:
        return DecisionContext(
            store=streams,
            clock=self._clock,
            context=context,
            **self._collaborators,
        )


def span_of(command: msgspec.Struct, context: CommandContext) -> SpanArguments:
    """The span of a command. Its parent is the work that gives it, or the domain event that it follows."""
    given_in = context.given_in
    if given_in is not None and given_in.trace_id == context.trace_id:
        parent_id = given_in.span_id
    else:
        parent_id = span_id_of(context.causation_id)
    return {
        "name": f"command {type(command).__name__}",
        "trace_id": context.trace_id,
        "parent_id": parent_id,
        "dr_event": getattr(command, "dr_event_id", None),
        "facility": getattr(command, "facility_id", None),
    }


def _scoped(key: IdempotencyKey) -> ScopedKey:
    return key.scope, key.key


def _save_request(request: CommandRequest, decision: Decision) -> SaveRequest:
    return SaveRequest(decision.aggregates, _record(request.key, decision), _bounds(request.command))


def _bounds(command: msgspec.Struct) -> SaveBounds:
    """A registration may replace every zone and meter, so it cannot be split either."""
    return WHOLE_DR_EVENT if isinstance(command, DREventCommand | RegisterFacility) else ONE_DECISION


def _record(key: IdempotencyKey | None, decision: Decision) -> IdempotencyRecord | None:
    """The record to store with the domain events; None without a key or without domain events.

    A decision without domain events may be made again, so its key is not stored.
    """
    if key is None or not any(aggregate.pending_events for aggregate in decision.aggregates):
        return None
    return IdempotencyRecord(
        scope=key.scope, key=key.key, body_hash=key.body_hash, reply=msgspec.json.encode(decision.reply)
    )


def _decode_reply(
    stored: IdempotencyRecord, key: IdempotencyKey | None, reply_type: type[TReply] | None
) -> TReply | Any:
    if key is not None and stored.body_hash != key.body_hash:
        raise IdempotencyMismatch(f"the key {key.key!r} was used before with another body; use a new key")
    return json_decoder(cast("type[Any]", reply_type or Any)).decode(stored.reply)
