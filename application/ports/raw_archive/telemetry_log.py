"""The telemetry log as those see it who take nothing off it: every message as it stands there, from any sequence on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class RawMessage(msgspec.Struct, frozen=True, array_like=True):
    """One message of the log. In the archive it is an array: fields are only ever appended."""

    stream_seq: int
    logged_at: datetime
    """When the log took it, by the system's clock, UTC."""
    message_id: str | None
    traceparent: str | None
    body: bytes


class Waiting(msgspec.Struct, frozen=True):
    """What stands in one partition behind a sequence."""

    messages: int
    oldest_at: datetime
    """When the log took the first of them."""


class RawLog(Protocol):
    """Partitions are numbered as in domain.telemetry.meter_reading. Every method raises StreamUnavailable."""

    async def log_id(self) -> str:
        """Another one once the log was made anew and its sequences begin again."""
        ...

    async def waiting(self, partition: int, after_seq: int) -> Waiting | None:
        """None: nothing stands behind `after_seq`."""
        ...

    async def oldest_unprocessed(self, partition: int) -> datetime | None:
        """When the log took the oldest message that no aggregate worker has acknowledged; None: there is none."""
        ...

    async def read(self, partition: int, after_seq: int, *, limit: int) -> Sequence[RawMessage]:
        """The next messages behind `after_seq`, in order and without a gap; none at the end of the log."""
        ...
