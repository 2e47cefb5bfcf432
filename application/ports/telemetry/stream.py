"""The telemetry log: packed readings between ingest and aggregate, in ordered partitions of a few facilities
each.

Partitions are numbered as in domain.telemetry.meter_reading, `MALFORMED` included.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class StreamUnavailable(ConnectionError):
    """The log cannot be reached, or did not confirm in time. Publish again with the same message id."""


class StreamFull(StreamUnavailable):
    """The log refuses more messages until those in it are stored."""


class StreamedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A packed message as a consumer received it."""

    partition: int
    stream_seq: int
    deliveries: int
    """The number of deliveries, including this one."""
    body: bytes
    reply_to: str
    """The subject that its acknowledgement is sent to."""
    left: int = 0
    """The number of later messages of the partition that were undelivered at its delivery."""
    connection: int = 0
    """The connection that it came over, by the adapter's own numbering."""
    traceparent: str | None = None
    """As published with it."""


class StreamFill(msgspec.Struct, frozen=True, kw_only=True):
    """How full the log is."""

    messages: int
    stored_bytes: int
    max_bytes: int
    unprocessed: int
    """Messages that no consumer has acknowledged yet, over all partitions."""


class TelemetryStream(Protocol):
    """Every method raises StreamUnavailable when the log cannot answer in time."""

    async def publish(
        self, partition: int, body: bytes, *, message_id: str, traceparent: str | None = None
    ) -> int:
        """Append a message; returns its sequence once the log has stored it. The same id again (within two
        minutes) is stored once. Raises StreamFull."""
        ...

    async def pull(self, partition: int, *, limit: int, timeout_s: float) -> Sequence[StreamedBatch]:
        """The next messages of `partition` in order; empty after `timeout_s` wall seconds. Unacknowledged
        messages are delivered again."""
        ...

    async def stop_consuming(self, partition: int) -> None:
        """Stop consuming a partition. Messages delivered to this process and not pulled yet go to other
        processes at once."""
        ...

    async def acknowledge(self, batch: StreamedBatch) -> None:
        """Finish `batch`: it is not delivered again."""
        ...

    async def acknowledge_all(self, batches: Sequence[StreamedBatch]) -> None:
        """Like `acknowledge`, for several at the cost of one. Where it raises, some of them may be delivered
        again."""
        ...

    async def extend_lease(self, batch: StreamedBatch) -> None:
        """Restart the time-out of `batch`, so that it is not delivered again yet."""
        ...

    async def return_batch(self, batch: StreamedBatch) -> None:
        """Return `batch` unprocessed: it is delivered again at once."""
        ...

    async def fill(self) -> StreamFill:
        """How full the log is."""
        ...

    async def trim(self, archived: Mapping[int, int] | None = None) -> None:
        """Delete messages that every consumer has acknowledged. `archived` limits this to the archived
        sequence of each partition. A log that is archived deletes nothing without it."""
        ...
