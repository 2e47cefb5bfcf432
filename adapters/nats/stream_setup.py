"""Creates a stream or updates it, without changing what an operator configured."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import nats.js.errors
from nats.js import JetStreamContext, api


async def set_up_stream(
    jetstream: JetStreamContext,
    name: str,
    ours: Mapping[str, Any],
    *,
    replicas: int | None,
    max_bytes: int | None,
    first_max_bytes: int,
    first: Mapping[str, Any] = MappingProxyType({}),
) -> api.StreamConfig:
    """Create the stream `name`, or update it to `ours`. Its other settings (placement, compression) stay.

    None leaves replicas and size as they are. A new stream then has one replica and `first_max_bytes`. So has one
    without a limit: a stream that nobody consumes must not fill the disk. `first` is for a new stream only. Returns its
    configuration. Raises the client's errors.
    """
    try:
        there = (await jetstream.stream_info(name)).config
    except nats.js.errors.NotFoundError:
        size = {"num_replicas": replicas or 1, "max_bytes": max_bytes or first_max_bytes}
        return (
            await jetstream.add_stream(api.StreamConfig(name=name).evolve(**ours, **size, **first))
        ).config
    kept_bytes = there.max_bytes if there.max_bytes and there.max_bytes > 0 else first_max_bytes
    wanted = there.evolve(
        **ours, num_replicas=replicas or there.num_replicas, max_bytes=max_bytes or kept_bytes
    )
    if wanted != there:
        await jetstream.update_stream(wanted)
    return wanted
