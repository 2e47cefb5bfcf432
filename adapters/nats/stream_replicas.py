"""Which streams have fewer replicas than they should: what the loss of one more server would lose."""

from __future__ import annotations

from nats.js import JetStreamContext
from nats.js.api import StreamInfo


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
