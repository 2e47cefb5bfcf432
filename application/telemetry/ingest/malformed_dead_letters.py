"""Malformed meter messages as dead letters: the same ones by the telemetry log and out of the archive."""

from collections.abc import Iterator
from hashlib import sha256
from uuid import UUID, uuid5

from application.ports.operations.dead_letters import DeadLetter, DeadLetterQueue
from application.telemetry.ingest.batch_codec import MalformedMessages

DEAD_LETTER_IDS = UUID("6d1f0a52-6d0e-5c1b-9b39-2f1f7a9c5a11")


def letters_of(messages: MalformedMessages) -> Iterator[DeadLetter]:
    """One for each message."""
    for message in messages.malformed:
        occasion = f"{message.topic} {messages.received_at:%Y-%m-%dT%H}"
        yield DeadLetter(
            dead_letter_id=letter_id("meter_message", message.body, occasion),
            queue="meter_message",
            subject=letter_text(message.topic),
            reason=letter_text(message.reason),
            body=message.body,
            parked_at=messages.received_at,
        )


def letter_id(queue: DeadLetterQueue, body: bytes, occasion: str) -> UUID:
    """Of the content and its occasion: what is handed out again is parked once, but a replay that fails again,
    or a meter that errs again an hour later, is a new letter."""
    return uuid5(DEAD_LETTER_IDS, f"{queue}:{occasion}:{sha256(body).hexdigest()}")


def letter_text(value: str) -> str:
    """As it can be stored."""
    return value.replace("\0", "\\0")[:1_000]
