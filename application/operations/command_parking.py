"""Commands of the saga as dead letters: a command that fails for good is parked, with the keyed order behind it.

Commands of one ordering key (a facility or a DR event) are carried out in the order of the log. While a dead letter of
the key is open, every later command of the key is parked behind it. All other keys continue.

Where the rule of a domain event fails, its commands are not known. Then the domain event is parked under the key of its
own dispatch or DR event, and a replay asks the rule again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID, uuid5

import msgspec
import structlog

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.ports.clock import Clock
from application.ports.event_store.event_log import EventLog, LogEntry
from application.ports.operations.dead_letters import (
    DeadLetter,
    DeadLetterNotFound,
    DeadLetterQueue,
    DeadLetters,
)
from application.sagas.dispatch import DispatchSaga
from domain.errors import DomainError
from domain.event_sourcing.decoders import json_decoder
from domain.identifiers import followed_command_id

QUEUE: DeadLetterQueue = "saga_command"
log = structlog.get_logger("decide")


class NumberedCommand(msgspec.Struct, frozen=True):
    """A command, and its number among all that follow from the domain event."""

    number: int
    name: str
    fields: msgspec.Raw


class SagaCommands(msgspec.Struct, frozen=True, kw_only=True):
    """The commands of one ordering key that follow from one domain event, in their order; none if its rule failed."""

    position: int
    """Of the domain event in the log."""
    topic: str
    domain_event_id: UUID
    correlation_id: UUID
    tenant: str | None
    trace_id: str
    commands: tuple[NumberedCommand, ...]

    @classmethod
    def of(cls, entry: LogEntry, commands: Mapping[int, msgspec.Struct]) -> Self:
        return cls(
            position=entry.position,
            topic=entry.topic,
            domain_event_id=entry.domain_event.domain_event_id,
            correlation_id=entry.domain_event.correlation_id,
            tenant=entry.domain_event.tenant,
            trace_id=entry.domain_event.trace_id,
            commands=tuple(
                NumberedCommand(number, type(command).__name__, msgspec.Raw(msgspec.json.encode(command)))
                for number, command in commands.items()
            ),
        )

    @property
    def order(self) -> tuple[int, int]:
        """Sorts the letters of one key as the log does."""
        return self.position, self.commands[0].number if self.commands else 0

    @property
    def names(self) -> str:
        """In the words of an alert."""
        return ", ".join(command.name for command in self.commands) or f"what follows from {self.topic}"

    def context(self, actor: str) -> CommandContext:
        return CommandContext(
            correlation_id=self.correlation_id,
            causation_id=self.domain_event_id,
            actor=actor,
            tenant=self.tenant,
            trace_id=self.trace_id,
        )

    def key(self, number: int) -> IdempotencyKey:
        return IdempotencyKey(scope="saga", key=str(followed_command_id(self.domain_event_id, number)))


def letter_id(domain_event_id: UUID, first_number: int) -> UUID:
    """The id of the letter of those commands; `first_number` is that of the first command of the key."""
    return uuid5(domain_event_id, f"saga-command:{first_number}")


def rule_letter_id(domain_event_id: UUID) -> UUID:
    """The id of the letter of a domain event whose rule failed."""
    return uuid5(domain_event_id, "saga-rule")


def decode(letter: DeadLetter) -> SagaCommands:
    """Raises msgspec.DecodeError."""
    return json_decoder(SagaCommands).decode(letter.body)


def open_in_order(letters: DeadLetters, subject: str) -> list[tuple[DeadLetter, SagaCommands]]:
    """The open letters of a key in the order of the log. Raises msgspec.DecodeError."""
    found = [(letter, decode(letter)) for letter in letters.open_about(subject, queue=QUEUE)]
    return sorted(found, key=lambda pair: pair[1].order)


def carry_out(following: SagaCommands, bus: CommandBus, event_log: EventLog, *, actor: str) -> None:
    """Give the commands again. A refusal of the domain is a valid outcome, as it is for the relay.

    Raises what `CommandBus.handle` raises otherwise, msgspec.DecodeError for a command that this release does not have
    in that form, and the error of a rule that fails again.
    """
    for number, command in _commands_of(following, bus, event_log):
        try:
            bus.handle(command, following.context(actor), key=following.key(number))
        except DomainError as refusal:
            log.info("command refused", command=type(command).__name__, code=refusal.code, why=str(refusal))


def _commands_of(
    following: SagaCommands, bus: CommandBus, event_log: EventLog
) -> Iterator[tuple[int, msgspec.Struct]]:
    if not following.commands:
        [entry] = event_log.read_after(following.position - 1, 1)
        yield from enumerate(DispatchSaga().follow(entry.domain_event))
    for numbered in following.commands:
        yield numbered.number, json_decoder(bus.command_type(numbered.name)).decode(numbered.fields)


@dataclass
class CommandParking:
    """The relay's view of these letters (synchronous). No other process parks commands of the saga."""

    dead_letters: DeadLetters
    clock: Clock
    _subjects: set[str] = field(default_factory=set)
    """Keys that may have an open letter; all others have none."""
    _earlier_to: int = 0
    """The last position whose commands an earlier relay may have parked."""

    def load(self, head: int) -> None:
        """Find out what an earlier relay may have parked. `head`: of the log. Raises OperationsUnavailable."""
        self._earlier_to = head if self.dead_letters.listed(queue=QUEUE, status=None, limit=1) else 0
        self._subjects.update(self.dead_letters.open_subjects(QUEUE))

    def may_be_parked(self, position: int) -> bool:
        """True if an earlier relay may have parked commands that follow from the domain event at that position."""
        return position <= self._earlier_to

    def is_parked(self, *dead_letter_ids: UUID) -> bool:
        """True if one of these letters exists: then a person decides on its commands, and the relay does not.

        Raises OperationsUnavailable.
        """
        for dead_letter_id in dead_letter_ids:
            with suppress(DeadLetterNotFound):
                self.dead_letters.get(dead_letter_id)
                return True
        return False

    def blocks(self, subject: str) -> bool:
        """True if an earlier command of that key is parked. Raises OperationsUnavailable."""
        if subject not in self._subjects:
            return False
        if self.dead_letters.open_about(subject, queue=QUEUE, limit=1):
            return True
        self._subjects.discard(subject)
        return False

    def park(self, dead_letter_id: UUID, subject: str, following: SagaCommands, reason: str) -> None:
        """Store the letter. Raises OperationsUnavailable; then park it again."""
        log.error("parked: a command of the saga", subject=subject, commands=following.names, why=reason)
        self._subjects.add(subject)
        letter = DeadLetter(
            dead_letter_id=dead_letter_id,
            queue=QUEUE,
            subject=subject,
            reason=reason,
            body=msgspec.json.encode(following),
            parked_at=self.clock.now(),
        )
        self.dead_letters.park(letter)
