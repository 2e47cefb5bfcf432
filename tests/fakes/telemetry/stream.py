"""The telemetry log in memory; it passes the same contract suite as JetStream's."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from application.ports.telemetry.stream import StreamedBatch, StreamFill, StreamFull, StreamUnavailable

REDELIVER_AFTER_S = 0.5


@dataclass
class _StoredMessage:
    partition: int
    seq: int
    body: bytes
    deliveries: int = 0
    hidden_until: float = 0.0
    acknowledged: bool = False


class FakeTelemetryStream:
    """`available = False`, `refused` partitions and `max_bytes` make it refuse.

    `answers_to_lose`: the number of publishes that are stored without an answer.
    """

    def __init__(self, *, max_bytes: int = 1_000_000) -> None:
        self.available = True
        self.max_bytes = max_bytes
        self.kept: list[_StoredMessage] = []
        self.answers_to_lose = 0
        self.refused: set[int] = set()
        self._last_seq = 0
        self._ids: dict[str, int] = {}

    async def publish(
        self, partition: int, body: bytes, *, message_id: str, traceparent: str | None = None
    ) -> int:
        self._check()
        if partition in self.refused:
            raise StreamUnavailable("refused by the test")
        if message_id in self._ids:
            return self._ids[message_id]
        if self._stored_bytes() + len(body) > self.max_bytes:
            raise StreamFull("maximum bytes exceeded")
        self._last_seq += 1
        self._ids[message_id] = self._last_seq
        self.kept.append(_StoredMessage(partition, self._last_seq, body))
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise StreamUnavailable("the answer was lost")
        return self._last_seq

    async def pull(self, partition: int, *, limit: int, timeout_s: float) -> Sequence[StreamedBatch]:
        self._check()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not (due := self._due(partition, loop.time())) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # redelivery comes with time, not with a call
        for one in due[:limit]:
            one.deliveries += 1
            one.hidden_until = loop.time() + REDELIVER_AFTER_S
        return [
            StreamedBatch(
                partition=partition,
                stream_seq=one.seq,
                deliveries=one.deliveries,
                body=one.body,
                reply_to=str(one.seq),
                left=len(due) - number,
            )
            for number, one in enumerate(due[:limit], start=1)
        ]

    def _due(self, partition: int, now: float) -> list[_StoredMessage]:
        return [
            k for k in self.kept if k.partition == partition and not k.acknowledged and k.hidden_until <= now
        ]

    async def stop_consuming(self, partition: int) -> None:
        """It delivers only at a pull, so there is nothing to do."""

    async def acknowledge(self, batch: StreamedBatch) -> None:
        self._check()
        self._one(batch).acknowledged = True

    async def acknowledge_all(self, batches: Sequence[StreamedBatch]) -> None:
        for batch in batches:
            await self.acknowledge(batch)

    async def extend_lease(self, batch: StreamedBatch) -> None:
        self._check()
        self._one(batch).hidden_until = asyncio.get_running_loop().time() + REDELIVER_AFTER_S

    async def return_batch(self, batch: StreamedBatch) -> None:
        self._check()
        self._one(batch).hidden_until = 0.0

    def _one(self, batch: StreamedBatch) -> _StoredMessage:
        return next(k for k in self.kept if k.seq == int(batch.reply_to))

    async def fill(self) -> StreamFill:
        self._check()
        return StreamFill(
            messages=len(self.kept),
            stored_bytes=self._stored_bytes(),
            max_bytes=self.max_bytes,
            unprocessed=sum(not k.acknowledged for k in self.kept),
        )

    async def trim(self, archived: Mapping[int, int] | None = None) -> None:
        self._check()
        open_seqs: dict[int, int] = {}
        for k in self.kept:
            if not k.acknowledged:
                open_seqs.setdefault(k.partition, k.seq)
        kept_from = {k.partition: open_seqs.get(k.partition, self._last_seq + 1) for k in self.kept}
        if archived is not None:
            kept_from = {p: min(seq, archived.get(p, 0) + 1) for p, seq in kept_from.items()}
        self.kept = [k for k in self.kept if k.seq >= kept_from[k.partition]]

    def _stored_bytes(self) -> int:
        return sum(len(k.body) for k in self.kept)

    def _check(self) -> None:
        if not self.available:
            raise StreamUnavailable("made unavailable by the test")
