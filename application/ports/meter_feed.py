"""The meter feed: where meters' messages come from."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

TakeMessage = Callable[[str, bytes], Awaitable[bool]]
"""(topic, payload) -> whether the message is kept for good. False: there is no room now; stop sending."""


class MeterFeed(Protocol):
    """Acknowledges a message to its sender only after `take` said it is kept."""

    async def run(self, take: TakeMessage, stop: asyncio.Event) -> None:
        """Hand every message to `take`, several at a time, until `stop`; reconnects by itself.

        A message that was not kept is sent again by the broker later, possibly more than once.
        """
        ...
