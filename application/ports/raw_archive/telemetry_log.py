"""Read-only access to the telemetry log: every message, from any sequence on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class RawMessage(msgspec.Struct, frozen=True, array_like=True):
    """A message of the log. In the archive it is an array: fields are only ever appended."""

    stream_seq: int
    logged_at: datetime
    """When the log received it, by the system's clock, UTC."""
    message_id: str | None
    traceparent: str | None
    body: bytes


class PartitionBacklog(msgspec.Struct, frozen=True):
    """The messages of one partition after a sequence."""

    messages: int
    oldest_at: datetime
    """When the log received the first of them."""


class RawLog(Protocol):
    """Partitions are numbered as in domain.telemetry.meter_reading. Every method raises StreamUnavailable."""

    async def log_id(self) -> str:
        """Changes when the log is created again and its sequences restart."""
        ...

    async def waiting(self, partition: int, after_seq: int) -> PartitionBacklog | None:
        """The messages after `after_seq`; None: there are none."""
        ...

    async def oldest_unprocessed(self, partition: int) -> datetime | None:
        """When the log received the oldest message that no aggregate worker has acknowledged; None: there is
        none."""
        ...

    async def read(self, partition: int, after_seq: int, *, limit: int) -> Sequence[RawMessage]:
        """The next messages after `after_seq`, in order and without a gap; empty at the end of the log."""
        ...
