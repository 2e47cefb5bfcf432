"""Publishing to JetStream with all acknowledgements on one subscription, so that many publishes are under way at once.

The client's own `request` costs ten times as much a message: a task, a timeout and a parsed answer each.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

import msgspec
import nats.errors
import nats.js.errors

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_NO_RESPONDERS = "503"
_LOOK_EVERY_S = 0.1


class _Refusal(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    """What JetStream says of a publish."""

    seq: int = 0
    stream: str = ""
    error: _Refusal | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class AckInbox:
    """`client` is connected; the subscription is made at first use and outlives reconnections."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._prefix = ""
        self._numbers = count()
        self._waiting: dict[str, tuple[int, asyncio.Future[int]]] = {}
        """With the number of reconnections by then: what was asked over an earlier connection may never be answered."""
        self._watch: asyncio.TimerHandle | None = None
        self._subscribing = asyncio.Lock()

    async def publish(self, subject: str, body: bytes, headers: dict[str, str], *, within_s: float) -> int:
        """The sequence in the stream. Raises TimeoutError, an error of nats.js.errors, or one of the client's; of those
        ConnectionReconnectingError where the connection broke meanwhile, as soon as there is another."""
        if not self._prefix:
            await self._subscribe()
        token = str(next(self._numbers))
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[token] = self._client.stats["reconnects"], answer
        if self._watch is None:
            self._look()
        try:
            await self._client.publish(subject, body, reply=self._prefix + token, headers=headers)
            async with asyncio.timeout(within_s):
                return await answer
        finally:
            self._waiting.pop(token, None)

    def _look(self) -> None:
        """Again and again as long as anybody waits."""
        reconnects = self._client.stats["reconnects"]
        for before, answer in self._waiting.values():
            if before != reconnects and not answer.done():
                answer.set_exception(nats.errors.ConnectionReconnectingError())
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(_LOOK_EVERY_S, self._look) if self._waiting else None

    async def _subscribe(self) -> None:
        async with self._subscribing:
            if not self._prefix:
                prefix = self._client.new_inbox() + "."
                await self._client.subscribe(prefix + "*", cb=self._answered)
                self._prefix = prefix

    async def _answered(self, message: Msg) -> None:
        _, answer = self._waiting.get(message.subject[len(self._prefix) :], (0, None))
        if answer is None or answer.done():
            return
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            answer.set_exception(nats.js.errors.NoStreamResponseError())
            return
        try:
            said = _decode(message.data)
        except msgspec.DecodeError as error:
            answer.set_exception(nats.js.errors.Error(f"no answer of JetStream's: {error}"))
            return
        if said.error is None:
            answer.set_result(said.seq)
            return
        try:
            nats.js.errors.APIError.from_error(msgspec.to_builtins(said.error))  # raises the class that fits
        except nats.js.errors.APIError as error:
            answer.set_exception(error)
