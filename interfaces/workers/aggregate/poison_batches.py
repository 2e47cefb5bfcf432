"""PoisonBatches: parks malformed messages, and batches that cannot be stored, as dead letters."""

import asyncio
from collections.abc import Sequence

import structlog

from application.ports.clock import Clock
from application.ports.operations.dead_letters import DeadLetter, DeadLetters
from application.ports.telemetry.store import TelemetryStoreUnavailable
from application.ports.telemetry.stream import StreamedBatch
from application.telemetry.ingest.batch_codec import unpack_malformed
from application.telemetry.ingest.malformed_dead_letters import letter_id, letter_text, letters_of

_log = structlog.get_logger(__name__)


class PoisonBatches:
    """Of one partition."""

    def __init__(self, partition: int, dead_letters: DeadLetters, clock: Clock) -> None:
        self._partition = partition
        self._dead_letters = dead_letters
        self._clock = clock

    async def park_malformed(self, batch: StreamedBatch) -> None:
        """Park each message of a malformed batch as a dead letter, in one transaction.

        Raises MalformedBatch, TelemetryStoreUnavailable.
        """
        await self._park([*letters_of(unpack_malformed(batch.body))])

    async def parked(self, batch: StreamedBatch, error: Exception) -> bool:
        """Park the batch; returns False while the dead letter cannot be stored.

        Only after True may the batch leave the log.
        """
        letter = DeadLetter(
            dead_letter_id=letter_id("telemetry_batch", batch.body, str(batch.stream_seq)),
            queue="telemetry_batch",
            subject=f"partition {self._partition}, sequence {batch.stream_seq}",
            reason=letter_text(f"{type(error).__name__}: {error}"),
            body=batch.body,
            parked_at=self._clock.now(),
        )
        try:
            await self._park([letter])
        except TelemetryStoreUnavailable as unavailable:
            _log.warning("poison batch not parked yet", seq=batch.stream_seq, error=str(unavailable))
            return False
        return True

    async def _park(self, letters: Sequence[DeadLetter]) -> None:
        try:
            await asyncio.to_thread(self._dead_letters.park_all, letters)
        except Exception as error:
            # Whatever the cause, the message stays in the log and is tried again.
            raise TelemetryStoreUnavailable(f"dead letter not stored: {error}") from error
