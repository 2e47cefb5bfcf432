"""The telemetry log: packed readings between ingest and aggregate, one ordered partition per few facilities.

Partitions are numbered as in domain.telemetry.meter_reading, `MALFORMED` included.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class StreamUnavailable(ConnectionError):
    """The log cannot be reached, or did not confirm in time; publish again with the same message id."""


class StreamFull(StreamUnavailable):
    """The log refuses more: what it holds is not yet stored."""


class StreamedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One packed message as a consumer received it."""

    partition: int
    stream_seq: int
    deliveries: int
    """How often it was handed out, this time included."""
    body: bytes
    reply_to: str
    """Where its acknowledgement goes."""
    left: int = 0
    """How many messages of the partition were still to be handed out after it, when it was."""
    connection: int = 0
    """Over which of our connections it came: the adapter's own numbers."""


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
        """Append; returns only once the log holds it, with its sequence. The same id again (within two
        minutes) is kept once. Raises StreamFull."""
        ...

    async def pull(self, partition: int, *, limit: int, timeout_s: float) -> Sequence[StreamedBatch]:
        """The next messages of `partition` in order, none after `timeout_s` wall seconds. What is not
        acknowledged is handed out again."""
        ...

    async def let_go(self, partition: int) -> None:
        """Take nothing more of it: what was handed out to here and not pulled yet is handed out to others at once."""
        ...

    async def acknowledge(self, batch: StreamedBatch) -> None:
        """Done with `batch`: it is not handed out again."""
        ...

    async def acknowledge_all(self, batches: Sequence[StreamedBatch]) -> None:
        """As `acknowledge`, for several at the cost of one; where it raises, some of them may come again."""
        ...

    async def still_working(self, batch: StreamedBatch) -> None:
        """Keep `batch` from being handed out again yet."""
        ...

    async def hand_back(self, batch: StreamedBatch) -> None:
        """Nobody works on `batch` here any more: it is handed out again at once."""
        ...

    async def fill(self) -> StreamFill:
        """How full the log is."""
        ...

    async def trim(self, archived: Mapping[int, int] | None = None) -> None:
        """Drop the messages that every consumer has acknowledged, to make room; where `archived` says up to which
        sequence each partition is in the archive, none behind it. A log that is archived drops nothing without."""
        ...
