"""How many batches wait in the telemetry log, for operators."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client

from adapters.nats.connection import connect
from adapters.nats.telemetry_stream import STREAM
from application.ports.operations.system_state import QueueDepth, QueuesUnavailable

ANSWER_WITHIN_S = 1.5
CONNECT_TIMEOUT_S = 1.0
"""For one server, so that the next one can still answer within ANSWER_WITHIN_S where the first hangs."""
MAX_PAGES = 16
NO_STREAM = 10059
"""JetStream's error code for a stream that does not exist: nothing was published yet."""
_FAILURES = (nats.errors.Error, OSError, TimeoutError, msgspec.MsgspecError, KeyError, ValueError)


class NatsQueueDepths:
    """Connects at first use, and again after a failure. Belongs to one event loop."""

    def __init__(self, nats_url: str) -> None:
        self._nats_url = nats_url
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def depths(self) -> tuple[QueueDepth, ...]:
        try:
            async with asyncio.timeout(2 * ANSWER_WITHIN_S):
                client = await self._connected()
                depth = await _depth(client)
        except _FAILURES as error:
            await self.aclose()
            raise QueuesUnavailable(f"NATS does not say what waits: {type(error).__name__}") from error
        return () if depth is None else (depth,)

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                await self.aclose()
                self._client = await connect(
                    self._nats_url, name="operations", keep_trying=False, timeout_s=CONNECT_TIMEOUT_S
                )
            return self._client


async def _depth(client: Client) -> QueueDepth | None:
    answer = await _api_request(client, f"STREAM.INFO.{STREAM}")
    if answer is None:
        return None
    config = answer["config"]
    return QueueDepth(
        name="telemetry",
        waiting=await _pending(client),
        bytes=answer["state"]["bytes"],
        most_bytes=config["max_bytes"] if config.get("max_bytes", -1) > 0 else None,
        oldest_s=None,  # the oldest message of the stream was acknowledged long ago
    )


async def _pending(client: Client) -> int:
    """Messages not yet delivered, or delivered and not acknowledged, over all consumers: each has its own partition."""
    waiting = offset = 0
    for _ in range(MAX_PAGES):
        page = await _api_request(client, f"CONSUMER.LIST.{STREAM}", {"offset": offset})
        consumers = (page or {}).get("consumers") or []
        waiting += sum(
            consumer["num_pending"] + consumer["num_ack_pending"]
            for consumer in consumers
            if consumer["name"].startswith("aggregate-")
        )
        offset += len(consumers)
        if not consumers or offset >= (page or {})["total"]:
            break
    return waiting


async def _api_request(
    client: Client, what: str, question: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """JetStream's response; None where there is no such stream."""
    body = b"" if question is None else msgspec.json.encode(question)
    reply = await client.request(f"$JS.API.{what}", body, timeout=ANSWER_WITHIN_S)
    answer: dict[str, Any] = msgspec.json.decode(reply.data)
    if "error" in answer:
        if answer["error"].get("err_code") == NO_STREAM:
            return None
        raise ValueError(str(answer["error"]))
    return answer
