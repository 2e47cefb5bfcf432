"""archive: the telemetry log into the raw archive, and the log trimmed of what is in there and stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil

import structlog

from application.operations.alert_switch import AlertSwitch
from application.ports.archive import Archive, ArchiveUnavailable, NotArchived
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.raw_archive.progress import ArchiveProgress, RawArchiveProgress
from application.ports.raw_archive.telemetry_log import PartitionBacklog, RawLog
from application.ports.telemetry.stream import StreamFill, StreamUnavailable, TelemetryStream
from application.raw_archive.archived_until import ArchivedAges
from application.raw_archive.manifest import ArchiveContradicted
from application.raw_archive.object import MAX_MESSAGES, MAX_RAW_BYTES
from application.raw_archive.writer import HOUR, PartitionArchiver
from domain.telemetry.meter_reading import MALFORMED, PARTITIONS
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop

log = structlog.get_logger("archive")

LOOK_EVERY_WALL_S = 10.0
SETTLE_WALL_S = 2.0
"""A period is over so much later: the log's clock and ours may differ."""
BEHIND_AFTER_S, LEAST_BEHIND_WALL_S = 900.0, 60.0
LEAST_PERIOD_WALL_S = 60.0
"""On an accelerated clock a period is as many hours as pass in a minute."""
LOG_KEPT = timedelta(days=7)
TRIM_ABOVE = 0.7
WORTH_BYTES = 1_000_000
"""In a log that fills up, so much is archived before its hour is over."""
_AGE_LOOKED_AT_EVERY = 30
_ALL = (*range(PARTITIONS), MALFORMED)


class ArchiveWorker:
    """One is active per system; two at once would do no harm (application/raw_archive/writer.py)."""

    def __init__(
        self,
        *,
        raw_log: RawLog,
        stream: TelemetryStream,
        archive: Archive,
        progress: RawArchiveProgress,
        alerts: AlertRegistry,
        clock: Clock,
        locks: Locks,
        reached: Callable[[str, str], None],
        look_every_s: float = LOOK_EVERY_WALL_S,
    ) -> None:
        self._raw_log = raw_log
        self._stream = stream
        self._archive = archive
        self._progress = progress
        self._clock = clock
        self._locks = locks
        self._reached = reached
        self._look_every_s = look_every_s
        self._behind = AlertSwitch(alerts, clock, "raw_archive_behind", "telemetry log")
        second = clock.wall_seconds(1.0)
        self._period = HOUR * ceil(LEAST_PERIOD_WALL_S / clock.wall_seconds(HOUR.total_seconds()))
        self._settle = timedelta(seconds=SETTLE_WALL_S / second)
        self._allowed = timedelta(seconds=max(BEHIND_AFTER_S, LEAST_BEHIND_WALL_S / second))
        self._log_id = ""
        self._archivers: dict[int, PartitionArchiver] = {}
        self._ages: dict[int, ArchivedAges] = {}
        self._good_at = clock.now()
        self._rounds = 0

    async def run(self, stop: asyncio.Event) -> None:
        await run_as_leader(self._locks, "raw-archive", lambda: self._go_round(stop), stop=stop)

    async def _go_round(self, stop: asyncio.Event) -> None:
        self._archivers.clear()
        while not stop.is_set():
            await self.round()
            await sleep_or_stop(stop, self._look_every_s)

    async def round(self) -> None:
        """Archive what is due, and trim; whatever keeps it from that is told by the alert after a while."""
        began_at = self._clock.now()
        try:
            await self._archive_what_is_due()
        except ArchiveContradicted as error:
            log.exception("the raw archive contradicts itself")
            self._archivers.clear()
            await self._behind.turn(on=True, detail=str(error)[:500])
        except (StreamUnavailable, ArchiveUnavailable, NotArchived) as error:
            log.warning("telemetry is archived later", why=str(error))
            self._archivers.clear()
            late = self._clock.now() - self._good_at
            if late > self._allowed:
                detail = f"nothing was archived since {self._good_at:%Y-%m-%d %H:%M}Z: {error}"
                await self._behind.turn(on=True, detail=detail[:500])
        else:
            self._good_at = began_at
            await self._behind.turn(on=False)

    async def _archive_what_is_due(self) -> None:
        fill = await self._stream.fill()
        pressed = fill.stored_bytes > TRIM_ABOVE * fill.max_bytes
        await self._open()
        for partition, archiver in self._archivers.items():
            await self._archive_partition(partition, archiver, fill, pressed=pressed)
        if pressed:
            await self._stream.trim({p: archiver.position for p, archiver in self._archivers.items()})
        elif self._rounds % _AGE_LOOKED_AT_EVERY == 0:
            await self._stream.trim(await asyncio.to_thread(self._archived_long_ago))
        self._rounds += 1

    async def _open(self) -> None:
        log_id = await self._raw_log.log_id()
        if log_id == self._log_id and len(self._archivers) == len(_ALL):
            return
        self._log_id = log_id
        opened = {}
        for partition in _ALL:
            opened[partition] = PartitionArchiver(
                self._raw_log,
                self._archive,
                log_id=log_id,
                partition=partition,
                period=self._period,
                reached=self._reached,
            )
            await opened[partition].open()
        self._archivers = opened
        self._ages = {p: ArchivedAges(self._archive, log_id, p) for p in _ALL}

    async def _archive_partition(
        self, partition: int, archiver: PartitionArchiver, fill: StreamFill, *, pressed: bool
    ) -> None:
        while True:
            asked_at = self._clock.now() - self._settle
            waiting = await self._raw_log.waiting(partition, archiver.position)
            if waiting is None or not self._due(waiting, archiver, fill, pressed=pressed):
                break
            if (entry := await archiver.archive_next()) is None:
                break
            self._ages[partition].note(entry)
            log.info("archived", object=entry.object, messages=entry.contents.messages)
        await self._tell(partition, archiver, waiting, asked_at)

    def _due(
        self, waiting: PartitionBacklog, archiver: PartitionArchiver, fill: StreamFill, *, pressed: bool
    ) -> bool:
        if self._clock.now() >= archiver.ends_at(waiting.oldest_at) + self._settle:
            return True
        waiting_bytes = waiting.messages * fill.stored_bytes / max(1, fill.messages)
        if waiting.messages >= MAX_MESSAGES or waiting_bytes >= MAX_RAW_BYTES:
            return True
        return pressed and waiting_bytes >= WORTH_BYTES

    async def _tell(
        self,
        partition: int,
        archiver: PartitionArchiver,
        waiting: PartitionBacklog | None,
        asked_at: datetime,
    ) -> None:
        newest = archiver.newest
        told = ArchiveProgress(
            partition=partition,
            log_id=self._log_id,
            stream_seq=archiver.position,
            archived_through=asked_at if waiting is None else waiting.oldest_at,
            waiting=0 if waiting is None else waiting.messages,
            objects=0 if newest is None else newest.number,
            reported_at=self._clock.now(),
        )
        try:
            await asyncio.to_thread(self._progress.report, told)
        except OperationsUnavailable as error:
            log.warning("how far the raw archive is was not told", why=str(error))

    def _archived_long_ago(self) -> dict[int, int]:
        """Partition -> the last sequence of what was archived and is older than the log keeps it."""
        before = self._clock.now() - LOG_KEPT - self._period
        return {p: ages.last_seq_before(before) for p, ages in self._ages.items()}
