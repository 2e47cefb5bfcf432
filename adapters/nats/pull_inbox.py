"""Pulls from a durable consumer with one subscription and few requests, so that messages arrive while earlier ones are
processed.

nats-py's `fetch` costs 39 us of processor time a message instead of 14 where 32 of them wait, and 0.8 ms instead of 0.6
for one that comes alone: it sends up to two requests for each call. What it requested and did not return stays in a
private queue of the library, so a stop could not return it, nor tell over which connection it came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import nats.js.errors

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

REQUEST_LASTS_S = 5.0
_NO_RESPONDERS = "503"


class Delivery(NamedTuple):
    message: Msg
    connection: int
    """The number of reconnections at its arrival."""


class PullInbox:
    """The inbox of one consumer. `client` is connected. The subscription is made at first use and survives
    reconnections."""

    def __init__(self, client: Client, stream: str, consumer: str) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._arrived: deque[Delivery] = deque()
        self._arrival = asyncio.Event()
        self._open = 0
        """Messages that the server still has to send for our request, and until when the request is valid."""
        self._open_until_s = 0.0
        self._reconnects = -1
        self._absent = False

    async def pull(self, limit: int, timeout_s: float) -> list[Delivery]:
        """At most `limit` messages in order, none after `timeout_s`. Raises NoStreamResponseError without a
        consumer."""
        if self._subscription is None:
            self._subscription = await self._client.subscribe(self._inbox, cb=self._received)
        if not self._arrived:
            await self._request(limit)
            try:
                async with asyncio.timeout(timeout_s):
                    await self._arrival.wait()
            except TimeoutError:
                return []
        if self._absent:
            self._absent = False
            self._arrival.clear()
            raise nats.js.errors.NoStreamResponseError
        taken = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
        if not self._arrived:
            self._arrival.clear()
        return taken

    async def aclose(self) -> None:
        """Returns messages that nobody pulled, so that they are redelivered at once."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
        for delivery in self._arrived:
            await self._client.publish(delivery.message.reply, b"-NAK")
        self._arrived.clear()

    async def _request(self, limit: int) -> None:
        now_s = asyncio.get_running_loop().time()
        reconnects = self._client.stats["reconnects"]
        if self._open > 0 and now_s < self._open_until_s and reconnects == self._reconnects:
            return
        self._open, self._open_until_s, self._reconnects = limit, now_s + REQUEST_LASTS_S, reconnects
        request = msgspec.json.encode({"batch": limit, "expires": int(REQUEST_LASTS_S * 1e9)})
        await self._client.publish(self._subject, request, reply=self._inbox)

    async def _received(self, message: Msg) -> None:
        if message.reply:
            self._open -= 1
            self._arrived.append(Delivery(message, self._client.stats["reconnects"]))
        else:  # a status of the server: the request has expired, or there is no such consumer
            self._open = 0
            self._absent = bool(message.headers and message.headers.get("Status") == _NO_RESPONDERS)
            if not self._absent:
                return
        self._arrival.set()
