"""The state that a NATS server reports: its clock, its streams, and what JetStream may store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from nats.js import JetStreamContext

from adapters.nats.connection import connect
from application.operations.clock_monitor import Skew

_WITHIN_S = 3.0
_STREAM_INFO = "$JS.API.STREAM.INFO."


class StreamFill(NamedTuple):
    """The fill of a stream, against what it may hold; None: no limit."""

    name: str
    held_bytes: int
    most_bytes: int | None
    replicas: int


class NatsServerState(NamedTuple):
    streams: Sequence[StreamFill]
    held_bytes: int
    most_bytes: int | None
    """Of JetStream in the account; None: no limit."""
    skew: Skew | None
    """How far this machine's clock is ahead; None: there is no stream yet whose state says the server's time."""


async def server_state(url: str, *, wall_now: Callable[[], datetime]) -> NatsServerState:
    """Raises the client's errors."""
    client = await connect(url, name="doctor", keep_trying=False)
    try:
        jetstream = client.jetstream(timeout=_WITHIN_S)
        account = await jetstream.account_info()
        streams = await _streams(jetstream)
        skew = None
        if streams:
            before, started = wall_now(), time.monotonic()
            reply = await client.request(_STREAM_INFO + streams[0].name, timeout=_WITHIN_S)
            took_s = time.monotonic() - started
            skew = _skew(reply.data, before, took_s)
        return NatsServerState(streams, account.storage, _limit(account.limits.max_storage), skew)
    finally:
        await client.close()


async def _streams(jetstream: JetStreamContext) -> list[StreamFill]:
    found = await jetstream.streams_info()
    return sorted(
        StreamFill(
            str(info.config.name),
            info.state.bytes,
            _limit(info.config.max_bytes),
            info.config.num_replicas or 1,
        )
        for info in found
    )


def _skew(answer: bytes, before: datetime, took_s: float) -> Skew | None:
    """The difference at the middle of the round trip; None: the server says no time (before 2.10)."""
    written = json.loads(answer).get("ts")
    if not isinstance(written, str):
        return None
    there = datetime.fromisoformat(written)
    return Skew((before - there).total_seconds() + took_s / 2, took_s / 2)


def _limit(most_bytes: int | None) -> int | None:
    """The server writes no limit as -1 or 0."""
    return most_bytes if most_bytes and most_bytes > 0 else None
