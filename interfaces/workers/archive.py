"""The archive worker: copies the telemetry log to the raw archive, and trims the log of what is archived and stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import ceil

import structlog

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
from application.telemetry.log_capacity import FULL_SHARE
from domain.telemetry.meter_reading import MALFORMED, PARTITIONS
from interfaces.workers.loops.periodic import PeriodicCheck

log = structlog.get_logger("archive")

BEHIND, LOG = "raw_archive_behind", "telemetry log"
ROUND_EVERY_WALL_S = 10.0
MARGIN_WALL_S = 2.0
"""A period counts as over so much later: the clocks of NATS and of this machine may differ."""
BEHIND_AFTER_S, LEAST_BEHIND_WALL_S = 900.0, 60.0
LEAST_PERIOD_WALL_S = 60.0
"""On an accelerated clock a period has as many hours as pass in a wall minute."""
LEAST_BYTES = 1_000_000
"""While the log fills up, so many bytes are archived before their hour is over."""
_TRIM_BY_AGE_EVERY = 30
"""Rounds."""
_ALL = (*range(PARTITIONS), MALFORMED)


class ArchiveWorker:
    """One is active per system. Two at once would do no harm (application/raw_archive/writer.py)."""

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
        log_days: int = 7,
        round_every_s: float = ROUND_EVERY_WALL_S,
    ) -> None:
        self._raw_log = raw_log
        self._stream = stream
        self._archive = archive
        self._progress = progress
        self._clock = clock
        self._locks = locks
        self._reached = reached
        self._log_retention = timedelta(days=log_days)
        self._round_every_s = round_every_s
        self._alerts = alerts
        second = clock.wall_seconds(1.0)
        self._period = HOUR * ceil(LEAST_PERIOD_WALL_S / clock.wall_seconds(HOUR.total_seconds()))
        self._margin = timedelta(seconds=MARGIN_WALL_S / second)
        self._allowed = timedelta(seconds=max(BEHIND_AFTER_S, LEAST_BEHIND_WALL_S / second))
        self._log_id = ""
        self._archivers: dict[int, PartitionArchiver] = {}
        self._ages: dict[int, ArchivedAges] = {}
        self._succeeded_at = clock.now()
        self._rounds = 0

    async def run(self, stop: asyncio.Event) -> None:
        await PeriodicCheck(
            "archive",
            self.round,
            every_s=self._round_every_s,
            lock="raw-archive",
            reset=self._reset,
        ).run(stop, self._locks)

    def _reset(self) -> None:
        self._archivers.clear()

    async def round(self) -> None:
        """Archive what is due, and trim. A failure that lasts longer than allowed is an alert."""
        began_at = self._clock.now()
        try:
            await self._archive_due()
        except ArchiveContradicted as error:
            log.exception("the raw archive contradicts itself")
            self._archivers.clear()
            await self._state({LOG: str(error)[:500]})
        except (StreamUnavailable, ArchiveUnavailable, NotArchived) as error:
            log.warning("telemetry is archived later", why=str(error))
            self._archivers.clear()
            late = self._clock.now() - self._succeeded_at
            if late > self._allowed:
                detail = f"nothing was archived since {self._succeeded_at:%Y-%m-%d %H:%M}Z: {error}"
                await self._state({LOG: detail[:500]})
        else:
            self._succeeded_at = began_at
            await self._state({})

    async def _state(self, behind: Mapping[str, str]) -> None:
        at = self._clock.now()
        try:
            await asyncio.to_thread(self._alerts.state, BEHIND, behind, observer="archive", at=at)
        except OperationsUnavailable as error:
            log.warning("alert not recorded", alert=BEHIND, why=str(error))

    async def _archive_due(self) -> None:
        fill = await self._stream.fill()
        is_filling_up = fill.stored_bytes > FULL_SHARE * fill.max_bytes
        await self._open()
        for partition, archiver in self._archivers.items():
            await self._archive_partition(partition, archiver, fill, is_filling_up=is_filling_up)
        if is_filling_up:
            await self._stream.trim({p: archiver.position for p, archiver in self._archivers.items()})
        elif self._rounds % _TRIM_BY_AGE_EVERY == 0:
            await self._stream.trim(await asyncio.to_thread(self._old_archived))
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
        self, partition: int, archiver: PartitionArchiver, fill: StreamFill, *, is_filling_up: bool
    ) -> None:
        while True:
            asked_at = self._clock.now() - self._margin
            waiting = await self._raw_log.waiting(partition, archiver.position)
            if waiting is None or not self._due(waiting, archiver, fill, is_filling_up=is_filling_up):
                break
            if (entry := await archiver.archive_next()) is None:
                break
            self._ages[partition].note(entry)
            log.info("archived", object=entry.object, messages=entry.contents.messages)
        await self._report(partition, archiver, waiting, asked_at)

    def _due(
        self, waiting: PartitionBacklog, archiver: PartitionArchiver, fill: StreamFill, *, is_filling_up: bool
    ) -> bool:
        if self._clock.now() >= archiver.ends_at(waiting.oldest_at) + self._margin:
            return True
        waiting_bytes = waiting.messages * fill.stored_bytes / max(1, fill.messages)
        if waiting.messages >= MAX_MESSAGES or waiting_bytes >= MAX_RAW_BYTES:
            return True
        return is_filling_up and waiting_bytes >= LEAST_BYTES

    async def _report(
        self,
        partition: int,
        archiver: PartitionArchiver,
        waiting: PartitionBacklog | None,
        asked_at: datetime,
    ) -> None:
        newest = archiver.newest
        progress = ArchiveProgress(
            partition=partition,
            log_id=self._log_id,
            stream_seq=archiver.position,
            archived_through=asked_at if waiting is None else waiting.oldest_at,
            waiting=0 if waiting is None else waiting.messages,
            objects=0 if newest is None else newest.number,
            reported_at=self._clock.now(),
        )
        try:
            await asyncio.to_thread(self._progress.report, progress)
        except OperationsUnavailable as error:
            log.warning("progress of the raw archive not recorded", why=str(error))

    def _old_archived(self) -> dict[int, int]:
        """Partition -> the last sequence that is archived and older than the log's retention."""
        before = self._clock.now() - self._log_retention - self._period
        return {p: ages.last_seq_before(before) for p, ages in self._ages.items()}
