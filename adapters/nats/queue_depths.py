"""How many messages wait in the JetStream streams, for operators."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client

from adapters.nats.bms_work import BMS_STREAM
from adapters.nats.connection import connect
from adapters.nats.telemetry_stream import STREAM as TELEMETRY_STREAM
from adapters.nats.work_queue import CALLBACK_STREAM
from application.ports.operations.system_state import QueueDepth, QueueName, QueuesUnavailable

ANSWER_WITHIN_S = 1.5
CONNECT_TIMEOUT_S = 1.0
"""For one server, so that the next one can still answer within ANSWER_WITHIN_S where the first hangs."""
MAX_PAGES = 16
NO_STREAM = 10059
"""JetStream's error code for a stream that does not exist: nothing was published yet."""
_STREAMS: dict[QueueName, str] = {
    "bms_commands": BMS_STREAM,
    "callbacks": CALLBACK_STREAM,
    "telemetry": TELEMETRY_STREAM,
}
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
                result = [await self._depth(client, name, stream) for name, stream in _STREAMS.items()]
        except _FAILURES as error:
            await self.aclose()
            raise QueuesUnavailable(f"NATS does not say what waits: {type(error).__name__}") from error
        return tuple(depth for depth in result if depth is not None)

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

    async def _depth(self, client: Client, name: QueueName, stream: str) -> QueueDepth | None:
        answer = await _api_request(client, f"STREAM.INFO.{stream}")
        if answer is None:
            return None
        state, config = answer["state"], answer["config"]
        waiting = await _pending(client, stream) if name == "telemetry" else state["messages"]
        oldest_s = None
        if waiting and name != "telemetry":  # the oldest message of that stream was acknowledged long ago
            oldest_s = max(0.0, (_parse_time(answer["ts"]) - _parse_time(state["first_ts"])).total_seconds())
        return QueueDepth(
            name=name,
            waiting=waiting,
            bytes=state["bytes"],
            most_bytes=config["max_bytes"] if config.get("max_bytes", -1) > 0 else None,
            oldest_s=oldest_s,
        )


async def _pending(client: Client, stream: str) -> int:
    """Messages not yet delivered, or delivered and not acknowledged, over all consumers: each has its own partition."""
    waiting = offset = 0
    for _ in range(MAX_PAGES):
        page = await _api_request(client, f"CONSUMER.LIST.{stream}", {"offset": offset})
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


def _parse_time(written: str) -> datetime:
    """Parses a time of Go, which has up to nine digits of a second."""
    whole, _, fraction = written.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{(fraction + '000000')[:6]}+00:00")
