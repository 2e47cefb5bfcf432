"""How the log is shared out among the processes of a rebuild.

Parts never read or write each other's rows. Where a read model has one row of sums over everything, each part keeps
its own share of it under a key of its own, and `Projection.joined` adds the shares up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec


class Shard(msgspec.Struct, frozen=True):
    """Part `number` (from 0) of `of` parts of the log."""

    number: int = 0
    of: int = 1
    by: Literal["stream", "facility"] = "stream"
    """`facility`: a dispatch goes to the part that has the stream of its facility."""


class LogPart(msgspec.Struct, frozen=True):
    """The part that one process folds: the domain events of a shard that concern the projection."""

    projection: Any
    """The read model's own projection, or one that folds a part of it."""
    shard: Shard
    share: str | None = None
    """The key of this part's share of the one row of sums."""


class StreamDivision:
    """The division of a projection in which no stream's domain events read or write a row of another stream."""

    def divided(self, count: int) -> Sequence[LogPart]:
        return [LogPart(self, Shard(number, count)) for number in range(count)]

    def joined(self, shares: Sequence[object]) -> None:
        """No row is a sum over everything."""


class FacilityDivision(StreamDivision):
    """The division of a projection whose rows join the streams of a facility and of its dispatches."""

    def divided(self, count: int) -> Sequence[LogPart]:
        return [LogPart(self, Shard(number, count, "facility")) for number in range(count)]
