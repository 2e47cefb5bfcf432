"""The meter feed: where meters' messages come from."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

MAX_PAYLOAD_BYTES = 65_536
"""A feed hands over no more of a longer message, and keeps no more of it in memory."""

Kept = Callable[[], None]
"""Says that a message is kept for good; called at most once, from the feed's own event loop."""


class MeterMessage(msgspec.Struct, frozen=True, gc=False):
    """One message as it came."""

    topic: str
    payload: bytes
    """Cut off somewhere beyond MAX_PAYLOAD_BYTES where the message is longer."""
    size: int
    """Of the whole payload, in bytes."""
    traceparent: str | None = None
    """As the transport carried it, beside the payload."""


class MessageTaker(Protocol):
    """Who takes the messages of a feed."""

    def has_room(self) -> bool:
        """Whether another message may be handed over now. It is asked before each."""
        ...

    def take(self, message: MeterMessage, kept: Kept) -> None:
        """Returns at once; `kept` is called once the message is kept for good, or never."""
        ...


class MeterFeed(Protocol):
    """Acknowledges a message to its sender only after it was called kept."""

    async def run(self, taker: MessageTaker, stop: asyncio.Event) -> None:
        """Hand every message to `taker` until `stop`; reconnects by itself.

        While `taker` has no room nothing is read, so that what waits stays with the broker. A message that was not
        kept is sent again by the broker later; one that was kept may be, too.
        """
        ...
