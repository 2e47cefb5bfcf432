"""Settling beside the writing: quarter-hours that are over are written down a few at a time, and readings go first."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog

from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStoreUnavailable
from interfaces.workers.loops.leader_loop import sleep_or_stop

_log = structlog.get_logger(__name__)

SETTLE_EVERY_S = 2.0
SETTLE_AGAIN_AFTER_S = 30.0
"""After an error that nobody foresaw."""
FEWEST_SETTLED, FIRST_SETTLED, MOST_SETTLED = 5, 25, 200
"""Quarter-hours of facilities in one transaction."""
SETTLING_LASTS_S = 0.1
"""Wall seconds: nobody else writes readings of the partition meanwhile, and it has four writes a second."""
HELD_AT_MOST_S = 1_800.0
"""Wall seconds: whoever never catches up settles all the same."""
WAITS_FOR_WRITES_S = 1.0
"""Wall seconds at most, so that a worker that always writes settles as well."""


def next_limit(finalized: int, took_s: float) -> int:
    """How many quarter-hours to settle at once, where so many took so long: facilities have few meters or many."""
    if took_s > 2 * SETTLING_LASTS_S:
        finalized //= 2
    elif took_s < SETTLING_LASTS_S / 2:
        finalized *= 2
    return min(MOST_SETTLED, max(FEWEST_SETTLED, finalized))


class SettlingTurn:
    """Of one worker and one event loop. Its partitions are written together, so that whoever settles one of them holds
    up all: one settles at a time, and where something is being written, after that."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._writing = 0
        self._nobody_writes = asyncio.Event()
        self._nobody_writes.set()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Readings are being written."""
        self._writing += 1
        self._nobody_writes.clear()
        try:
            yield
        finally:
            self._writing -= 1
            if not self._writing:
                self._nobody_writes.set()

    @asynccontextmanager
    async def settling(self) -> AsyncIterator[None]:
        """In the order of asking."""
        async with self._turn:
            with suppress(TimeoutError):
                async with asyncio.timeout(WAITS_FOR_WRITES_S):
                    await self._nobody_writes.wait()
            yield


class PartitionSettling:
    """Of one partition. While its readings are caught up with, nothing is settled: each quarter-hour would be as often
    as something more of it comes, and what comes would have to be compared with what was settled."""

    def __init__(self, partition: int, rollups: TelemetryRollups, turn: SettlingTurn) -> None:
        self._partition = partition
        self._rollups = rollups
        self._turn = turn
        self._due_at_s = 0.0
        self._behind_since_s: float | None = None
        self._at_once = FIRST_SETTLED

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what is being settled is finished first."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            await self.settle_if_due(loop.time())
            await sleep_or_stop(stop, max(0.0, self._due_at_s - loop.time()))

    def note(self, *, is_behind: bool) -> None:
        """Whether more is left in the log than is pulled at once."""
        if not is_behind:
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = asyncio.get_running_loop().time()

    def _is_held(self, at_s: float) -> bool:
        return self._behind_since_s is not None and at_s < self._behind_since_s + HELD_AT_MOST_S

    async def settle_if_due(self, at_s: float) -> None:
        """Write down the quarter-hours that are over, a few at a time."""
        if at_s < self._due_at_s:
            return
        if self._is_held(at_s):
            self._due_at_s = at_s + SETTLE_EVERY_S
            return
        self._due_at_s = at_s + SETTLE_EVERY_S
        limit, loop = self._at_once, asyncio.get_running_loop()
        try:
            async with self._turn.settling():
                began_s = loop.time()
                finalized = await asyncio.to_thread(self._rollups.finalize, self._partition, limit=limit)
                took_s = loop.time() - began_s
        except TelemetryStoreUnavailable as error:
            _log.warning("settling put off", partition=self._partition, error=str(error))
            return
        except Exception:  # noqa: BLE001 - readings are stored all the same, and `settling_behind` tells of what waits
            _log.exception("settling failed", partition=self._partition)
            self._due_at_s = at_s + SETTLE_AGAIN_AFTER_S
            return
        if finalized.more or finalized.quarters == limit:
            self._due_at_s = at_s
            # Of those that were left for the readings of others it would only be asked again how many they have.
            self._at_once = next_limit(finalized.quarters, took_s)
        if finalized.corrected:
            _log.info("telemetry corrected", partition=self._partition, quarters=finalized.corrected)
