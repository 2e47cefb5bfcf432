"""The telemetry log as the archive reads it, in memory; it passes the same contract suite as JetStream's."""

from collections.abc import Sequence
from datetime import datetime

from application.ports.raw_archive.telemetry_log import PartitionBacklog, RawMessage
from application.ports.telemetry.stream import StreamUnavailable


class FakeRawLog:
    """`available = False` makes it refuse."""

    def __init__(self, log_id: str = "log-1") -> None:
        self.available = True
        self.id = log_id
        self.messages: list[tuple[int, RawMessage]] = []
        self.acknowledged: set[int] = set()
        """Sequences that the aggregate workers are done with."""

    def append(self, partition: int, body: bytes, *, at: datetime, message_id: str | None = None) -> int:
        seq = len(self.messages) + 1
        self.messages.append((partition, RawMessage(seq, at, message_id, None, body)))
        return seq

    async def log_id(self) -> str:
        self._check()
        return self.id

    async def waiting(self, partition: int, after_seq: int) -> PartitionBacklog | None:
        found = self._behind(partition, after_seq)
        return PartitionBacklog(len(found), found[0].logged_at) if found else None

    async def oldest_unprocessed(self, partition: int) -> datetime | None:
        left = [m for m in self._behind(partition, 0) if m.stream_seq not in self.acknowledged]
        return left[0].logged_at if left else None

    async def read(self, partition: int, after_seq: int, *, limit: int) -> Sequence[RawMessage]:
        return self._behind(partition, after_seq)[:limit]

    def _behind(self, partition: int, after_seq: int) -> list[RawMessage]:
        self._check()
        return [m for p, m in self.messages if p == partition and m.stream_seq > after_seq]

    def _check(self) -> None:
        if not self.available:
            raise StreamUnavailable("made unavailable by the test")
