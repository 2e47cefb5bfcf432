"""Creates a stream or updates it, without changing what an operator configured."""

from collections.abc import Mapping
from typing import Any

import nats.js.errors
import structlog
from nats.js import JetStreamContext, api

OUR_LIMIT = "gridproof-max-bytes"
"""In the metadata of a stream: the size limit that we set. Another limit was set by an operator."""
_NO_ROOM = frozenset({10002, 10005, 10023, 10047})
"""JetStream has not so much storage: for the account, on any server of the cluster, on this server."""
log = structlog.get_logger("nats")


async def set_up_stream(
    jetstream: JetStreamContext,
    name: str,
    ours: Mapping[str, Any],
    *,
    replicas: int | None,
    max_bytes: int | None,
    first_max_bytes: int,
    following_bytes: int | None = None,
) -> api.StreamConfig:
    """Create the stream `name`, or update it to `ours`. Its other settings (placement, compression) stay.

    None leaves replicas and size as they are. A new stream then has one replica and `first_max_bytes`. So has one
    without a limit: a stream that nobody consumes must not fill the disk. `following_bytes` takes the place of a limit
    of ours, and of none that an operator set. A limit is never lowered below what the stream holds, and a server
    without room for a larger one keeps the present one; both are logged.
    Returns its configuration. Raises the client's errors.
    """
    try:
        there = await jetstream.stream_info(name)
    except nats.js.errors.NotFoundError:
        new = api.StreamConfig(name=name).evolve(**ours, num_replicas=replicas or 1)
        wanted = limited(new, max_bytes or following_bytes or first_max_bytes)
        return await _with_room(jetstream.add_stream, wanted, else_bytes=first_max_bytes)
    kept = there.config
    wanted = kept.evolve(**ours, num_replicas=replicas or kept.num_replicas)
    size = _wanted_bytes(kept, max_bytes, following_bytes, first_max_bytes)
    if size is not None and size < there.state.bytes:
        present = kept.max_bytes if kept.max_bytes and kept.max_bytes > 0 else None
        held_back = present or there.state.bytes + first_max_bytes
        log.warning(
            "the limit of a stream is not lowered before it holds less",
            stream=name,
            wanted_bytes=size,
            held_bytes=there.state.bytes,
            limit_bytes=held_back,
        )
        size = None if present else held_back
    if size is not None:
        wanted = limited(wanted, size)
    if wanted != kept:
        return await _with_room(jetstream.update_stream, wanted, else_bytes=kept.max_bytes or first_max_bytes)
    return wanted


def limited(config: api.StreamConfig, max_bytes: int) -> api.StreamConfig:
    """With a limit that is recorded as ours."""
    return config.evolve(max_bytes=max_bytes, metadata={**(config.metadata or {}), OUR_LIMIT: str(max_bytes)})


def _wanted_bytes(
    there: api.StreamConfig, configured: int | None, following: int | None, first: int
) -> int | None:
    """The size limit that the stream is to have; None: it keeps its own."""
    if configured is not None:
        return configured
    present = there.max_bytes if there.max_bytes and there.max_bytes > 0 else None
    if present is None:
        return following or first
    is_ours = (there.metadata or {}).get(OUR_LIMIT) == str(present)
    return following if is_ours else None


async def _with_room(send: Any, config: api.StreamConfig, *, else_bytes: int) -> api.StreamConfig:
    """Send it, and again with `else_bytes` where the server has not so much storage; returns what was sent."""
    try:
        await send(config)
    except nats.js.errors.APIError as error:
        if error.err_code not in _NO_ROOM or (config.max_bytes or 0) <= else_bytes or else_bytes <= 0:
            raise
        log.warning(
            "JetStream has no room for the limit of a stream; it gets a smaller one",
            stream=config.name,
            wanted_bytes=config.max_bytes,
            limit_bytes=else_bytes,
            why=error.description,
        )
        config = limited(config, else_bytes)
        await send(config)
    return config
