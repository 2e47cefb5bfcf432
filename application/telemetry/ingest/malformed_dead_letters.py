"""Dead letters of malformed meter messages, with the same ids from the telemetry log and from the archive."""

from collections.abc import Iterator
from hashlib import sha256
from uuid import UUID, uuid5

from application.ports.operations.dead_letters import DeadLetter, DeadLetterQueue
from application.telemetry.ingest.batch_codec import MalformedMessages

DEAD_LETTER_IDS = UUID("6d1f0a52-6d0e-5c1b-9b39-2f1f7a9c5a11")


def letters_of(messages: MalformedMessages) -> Iterator[DeadLetter]:
    """A dead letter for each message."""
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
    """An id from the content and its occasion. A repeated delivery is parked once; a replay that fails again,
    or a meter that fails again an hour later, is a new dead letter."""
    return uuid5(DEAD_LETTER_IDS, f"{queue}:{occasion}:{sha256(body).hexdigest()}")


def letter_text(value: str) -> str:
    """The text in a form that can be stored."""
    return value.replace("\0", "\\0")[:1_000]
