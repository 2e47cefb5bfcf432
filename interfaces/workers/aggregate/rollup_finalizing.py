"""PartitionFinalizing: finalizes the rollups of past quarter-hours, a few at a time, after the writing of readings."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

import structlog

from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStoreUnavailable
from interfaces.workers.loops.periodic import PeriodicCheck

_log = structlog.get_logger(__name__)

FINALIZE_EVERY_S = 2.0
FINALIZE_AGAIN_AFTER_S = 30.0
"""After an unexpected error."""
FEWEST_FINALIZED, FIRST_FINALIZED, MOST_FINALIZED = 5, 25, 200
"""Quarter-hours of facilities in one transaction."""
FINALIZING_LASTS_S = 0.1
"""Target duration of a transaction in wall seconds: meanwhile no readings of the partition are written, and a partition
has four writes a second."""
POSTPONED_AT_MOST_S = 1_800.0
"""Wall seconds: a partition that never catches up is finalized all the same."""
WAITS_FOR_WRITES_S = 1.0
"""Wall seconds at most, so that a worker that writes continuously finalizes as well."""


def next_limit(finalized: int, took_s: float) -> int:
    """How many quarter-hours to finalize at once, after so many took so long: facilities have few meters or many."""
    if took_s > 2 * FINALIZING_LASTS_S:
        finalized //= 2
    elif took_s < FINALIZING_LASTS_S / 2:
        finalized *= 2
    return min(MOST_FINALIZED, max(FEWEST_FINALIZED, finalized))


class FinalizingLock:
    """Lets one partition of a worker be finalized at a time, and writes of readings go first.

    The partitions of a worker are written in one transaction, so that finalizing one of them blocks all. It belongs to
    one event loop.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._writes = 0
        self._no_writes = asyncio.Event()
        self._no_writes.set()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Held while readings are being written."""
        self._writes += 1
        self._no_writes.clear()
        try:
            yield
        finally:
            self._writes -= 1
            if not self._writes:
                self._no_writes.set()

    @asynccontextmanager
    async def finalizing(self) -> AsyncIterator[None]:
        """Held while a partition is finalized; granted in the order of requests."""
        async with self._lock:
            with suppress(TimeoutError):
                async with asyncio.timeout(WAITS_FOR_WRITES_S):
                    await self._no_writes.wait()
            yield


class PartitionFinalizing:
    """Finalizes the quarter-hours of one partition.

    While the partition is behind, nothing is finalized: each quarter-hour would be finalized again with every further
    batch of it, and each batch would have to be compared with finalized values.
    """

    def __init__(self, partition: int, rollups: TelemetryRollups, lock: FinalizingLock) -> None:
        self._partition = partition
        self._rollups = rollups
        self._lock = lock
        self._due_at_s = 0.0
        self._behind_since_s: float | None = None
        self._limit = FIRST_FINALIZED

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`; a transaction under way is finished first, and none begins after it."""
        name, finalize = f"finalizing of partition {self._partition}", partial(self._round, stop)
        await PeriodicCheck(name, finalize, every_s=FINALIZE_EVERY_S).run(stop)

    async def _round(self, stop: asyncio.Event) -> float:
        """Returns the pause until quarter-hours are finalized again."""
        loop = asyncio.get_running_loop()
        await self.finalize_if_due(loop.time(), stop)
        return max(0.0, self._due_at_s - loop.time())

    @contextmanager
    def writing(self, *, is_behind: bool) -> Iterator[None]:
        """Held while readings of the partition are being written. See `note`."""
        self.note(is_behind=is_behind)
        with self._lock.writing():
            yield

    def note(self, *, is_behind: bool) -> None:
        """Note whether more is left in the log than is pulled at once."""
        if not is_behind:
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = asyncio.get_running_loop().time()

    def _is_postponed(self, at_s: float) -> bool:
        return self._behind_since_s is not None and at_s < self._behind_since_s + POSTPONED_AT_MOST_S

    async def finalize_if_due(self, at_s: float, stop: asyncio.Event | None = None) -> None:
        """Finalize quarter-hours that are over, a few at a time; none once `stop` is set."""
        if at_s < self._due_at_s:
            return
        self._due_at_s = at_s + FINALIZE_EVERY_S
        if self._is_postponed(at_s):
            return
        limit, loop = self._limit, asyncio.get_running_loop()
        try:
            async with self._lock.finalizing():
                if stop is not None and stop.is_set():
                    return  # while the store is away, each partition would wait for it in turn
                began_s = loop.time()
                done = await asyncio.to_thread(self._rollups.finalize, self._partition, limit=limit)
                took_s = loop.time() - began_s
        except TelemetryStoreUnavailable as error:
            _log.warning("finalizing put off", partition=self._partition, error=str(error))
            return
        except Exception:  # noqa: BLE001 - readings are stored all the same, and `settling_behind` reports what waits
            _log.exception("finalizing failed", partition=self._partition)
            self._due_at_s = at_s + FINALIZE_AGAIN_AFTER_S
            return
        if done.more or done.quarters == limit:
            self._due_at_s = at_s
            # From the number finalized, without those that were skipped until more readings arrive.
            self._limit = next_limit(done.quarters, took_s)
        if done.corrected:
            _log.info("telemetry corrected", partition=self._partition, quarters=done.corrected)
