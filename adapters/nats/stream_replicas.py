"""Streams that have fewer replicas than they should: what the loss of one more server would lose."""

from __future__ import annotations

import asyncio

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from adapters.nats.connection import connect
from adapters.nats.telemetry_stream import STREAM
from application.ports.operations.system_state import QueuesUnavailable

ANSWER_WITHIN_S = 5.0


async def missing_replicas(jetstream: JetStreamContext, *, wished: int | None) -> list[str]:
    """A sentence for each stream that has fewer replicas than `wished` (None: than it was created with), or whose
    replicas lag behind or are away. Raises the client's errors."""
    found = [missing_of(info, wished=wished) for info in await jetstream.streams_info()]
    return [sentence for sentence in found if sentence is not None]


def missing_of(info: StreamInfo, *, wished: int | None) -> str | None:
    name, configured = info.config.name, info.config.num_replicas or 1
    if wished is not None and configured < wished:
        return f"{name} is set up with {configured} of {wished} replicas"
    others = (info.cluster.replicas if info.cluster else None) or []
    stale = [str(one.name) for one in others if one.offline or not one.current]
    current = 1 + len(others) - len(stale)
    if current >= configured:
        return None
    return f"{name} has {current} of {configured} replicas" + (f" (not {', '.join(stale)})" if stale else "")


async def telemetry_behind(nats_url: str, *, wished: int | None) -> dict[str, str]:
    """The telemetry log -> the sentence about its missing replicas; empty if it has all. Raises QueuesUnavailable."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            client = await connect(nats_url, name="stream replicas", keep_trying=False)
            try:
                missing = await _missing(client.jetstream(), wished)
            finally:
                await client.close()
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise QueuesUnavailable(f"NATS does not say how its replicas are: {type(error).__name__}") from error
    return {} if missing is None else {STREAM: missing}


async def _missing(jetstream: JetStreamContext, wished: int | None) -> str | None:
    try:
        return missing_of(await jetstream.stream_info(STREAM), wished=wished)
    except NotFoundError:
        return None  # nothing was published yet
