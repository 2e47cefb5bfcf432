"""The meter feed port: the source of meters' messages."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

MAX_PAYLOAD_BYTES = 65_536
"""A feed hands over at most this much of a longer message, and holds no more of it in memory."""

UNKNOWN_FACILITY = "unknown"
"""Of messages whose topic names none."""
_MAX_ID_LENGTH = 63

Confirm = Callable[[], None]
"""Confirms that a message is stored durably; called at most once, from the feed's own event loop."""


class MeterMessage(msgspec.Struct, frozen=True, gc=False):
    """A message as received."""

    topic: str
    payload: bytes
    """Truncated somewhere beyond MAX_PAYLOAD_BYTES where the message is longer."""
    size: int
    """Size of the whole payload, in bytes."""
    traceparent: str | None = None
    """As the transport carried it, beside the payload."""
    is_retained: bool = False
    """Whether the broker sends it only because it was retained; it was delivered when its sender published it."""

    @property
    def facility_id(self) -> str:
        """The second level of the topic, unchecked. UNKNOWN_FACILITY where it cannot be an id."""
        parts = self.topic.split("/", 2)
        return parts[1] if len(parts) == 3 and 0 < len(parts[1]) <= _MAX_ID_LENGTH else UNKNOWN_FACILITY


class MessageConsumer(Protocol):
    """The consumer of a feed's messages."""

    def has_room(self) -> bool:
        """True if another message may be handed over now. The feed calls it before each message."""
        ...

    def take(self, message: MeterMessage, confirm: Confirm) -> None:
        """Returns at once; `confirm` is called once the message is stored durably, or never."""
        ...


class MeterFeed(Protocol):
    """Acknowledges a message to its sender only after its consumer confirmed it."""

    async def run(self, consumer: MessageConsumer, stop: asyncio.Event) -> None:
        """Hand every message to `consumer` until `stop` is set; reconnects by itself.

        While `consumer` has no room nothing is read, so that messages wait in the broker. The broker sends an
        unconfirmed message again later; it may repeat a confirmed one too.
        """
        ...
