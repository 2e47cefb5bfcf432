"""The log files of the processes that `gridproof up` runs: rotated, compressed, archived and removed."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from application.ports.archive import AlreadyArchived, Archive, ArchiveUnavailable

LARGEST_BYTES = 20_000_000
CHECK_EVERY_S = 1.0
TRY_AGAIN = timedelta(minutes=1)
ARCHIVED = "archived"
"""The folder of the rotated files that the archive has."""
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(?P<process>.+)\.(?P<at>\d{8}T\d{6}Z)\.log\.gz")
_PIECE = 1 << 20
_log = structlog.get_logger("log files")


@dataclass(frozen=True)
class RotatedLog:
    """A compressed file. Its lines are older than `at`."""

    path: Path
    process: str
    at: datetime
    size: int

    @property
    def is_archived(self) -> bool:
        return self.path.parent.name == ARCHIVED


def rotated_logs(folder: Path) -> list[RotatedLog]:
    """All in `folder` and in its folder of archived ones, the oldest first."""
    found = []
    for path in (*folder.glob("*.log.gz"), *(folder / ARCHIVED).glob("*.log.gz")):
        if (named := _NAME.fullmatch(path.name)) is not None:
            at = datetime.strptime(named["at"], _STAMP).replace(tzinfo=UTC)
            found.append(RotatedLog(path, named["process"], at, path.stat().st_size))
    return sorted(found, key=lambda one: (one.at, one.path.name))


@dataclass(frozen=True, kw_only=True)
class LogRetention:
    """A file is rotated above `largest_bytes` and at the end of each UTC day. A rotated one is kept for `days`, longer
    until it is archived where that `is_archived`; and no longer than all files take `most_bytes`."""

    days: int
    most_bytes: int
    is_archived: bool = False
    largest_bytes: int = LARGEST_BYTES

    def expired(self, logs: list[RotatedLog], now: datetime) -> list[RotatedLog]:
        old = now - timedelta(days=self.days)
        return [one for one in logs if one.at < old and (one.is_archived or not self.is_archived)]

    def beyond_the_bound(self, logs: list[RotatedLog], growing_bytes: int) -> Iterator[RotatedLog]:
        """The oldest, until what is left and the files that still grow are within the bound; archived ones first."""
        excess = growing_bytes + sum(one.size for one in logs) - self.most_bytes
        for one in sorted(logs, key=lambda one: not one.is_archived):
            if excess <= 0:
                return
            excess -= one.size
            yield one


class LogFiles:
    """The files in `folder`. `now` is the machine's clock. With an `archive` each rotated file is put there."""

    def __init__(
        self, folder: Path, retention: LogRetention, now: Callable[[], datetime], archive: Archive | None
    ) -> None:
        self._folder = folder
        self._retention = retention
        self._now = now
        self._archive = archive
        self._days: dict[Path, datetime] = {}
        """File -> the day of its lines."""
        self._failed_at: dict[Path, datetime] = {}
        self._tidied_at: datetime | None = None

    def round(self) -> None:
        """Rotate what is due; after that, and every minute, archive and remove."""
        now = self._now()
        is_tried = [self._rotate_if_due(path, now) for path in sorted(self._folder.glob("*.log"))]
        if any(is_tried) or self._tidied_at is None or _is_past(self._tidied_at, now):
            self._tidied_at = now
            for unfinished in self._folder.glob("*.partial"):
                unfinished.unlink()
            try:
                if self._archive is not None and self._put_one_into(self._archive):
                    self._tidied_at = None
            finally:  # whatever failed: files that nobody removes fill the disk
                self._remove(now)

    def _rotate_if_due(self, path: Path, now: datetime) -> bool:
        """Rotate the file where that is due; True if it was. A full disk only delays it: removing old files may make
        room."""
        status = path.stat()
        if not status.st_size:
            self._days[path] = now
            return False
        day = self._days.setdefault(path, min(now, datetime.fromtimestamp(status.st_mtime, UTC)))
        if status.st_size <= self._retention.largest_bytes and day.date() >= now.date():
            return False
        if path in self._failed_at and not _is_past(self._failed_at[path], now):
            return False
        try:
            rotate(path, self._free_name(path, now))
        except OSError as error:
            self._failed_at[path] = now
            _log.warning("a log file is rotated later", file=path.name, why=str(error))
        else:
            self._failed_at.pop(path, None)
            self._days[path] = now
        return True

    def _free_name(self, path: Path, at: datetime) -> Path:
        taken = {one.path.name for one in rotated_logs(self._folder)}
        while (name := f"{path.stem}.{at:{_STAMP}}.log.gz") in taken:
            at += timedelta(seconds=1)
        return self._folder / name

    def _put_one_into(self, archive: Archive) -> bool:
        """Put the oldest that the archive does not have there. Only one, because rotation and the end of the system
        wait for it. Returns whether the next round can go on."""
        waiting = [one for one in rotated_logs(self._folder) if not one.is_archived]
        if not waiting:
            return False
        oldest = waiting[0]
        content = oldest.path.read_bytes()
        try:
            archive.put_once(archive_name(oldest, content), content)
        except AlreadyArchived:
            pass  # the same: its digest is in the name
        except ArchiveUnavailable as error:
            _log.warning("log files are archived later", file=oldest.path.name, why=str(error))
            return False
        done = self._folder / ARCHIVED
        done.mkdir(mode=0o700, exist_ok=True)
        oldest.path.rename(done / oldest.path.name)
        return len(waiting) > 1

    def _remove(self, now: datetime) -> None:
        logs = rotated_logs(self._folder)
        for one in self._retention.expired(logs, now):
            one.path.unlink()
            logs.remove(one)
        growing = sum(path.stat().st_size for path in self._folder.glob("*.log"))
        for one in list(self._retention.beyond_the_bound(logs, growing)):
            _log.warning(
                "a log file is removed before its time, because all take more than GRIDPROOF_LOG_BYTES",
                file=one.path.name,
                archived=one.is_archived,
            )
            one.path.unlink()


def _is_past(moment: datetime, now: datetime) -> bool:
    """True if TRY_AGAIN has passed since `moment`, or the clock was set back."""
    return abs(now - moment) >= TRY_AGAIN


def archive_name(log: RotatedLog, content: bytes) -> str:
    """By day and machine. The digest distinguishes files of one moment, and shows a change."""
    machine = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "unnamed"
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"logs/{log.at:%Y-%m-%d}/{machine}/{log.process}.{log.at:{_STAMP}}.{digest}.log.gz"


def rotate(path: Path, target: Path) -> None:
    """Compress the file to `target` and empty it. It is not renamed, because its writer appends to the open file.

    A kill in between leaves lines twice, never none. What the writer appends between the last look and the truncation,
    which is some microseconds, is lost, as with every program that rotates by copying.
    """
    partial = target.with_name(target.name + ".partial")
    with path.open("r+b", buffering=0) as log:
        with partial.open("wb") as compressed:
            with gzip.GzipFile("", "wb", 6, compressed, mtime=0) as packed:
                shutil.copyfileobj(log, packed, _PIECE)
            compressed.flush()
            os.fsync(compressed.fileno())
        partial.replace(target)
        try:
            while rest := log.read(_PIECE):
                with target.open("ab") as compressed:
                    compressed.write(gzip.compress(rest, mtime=0))
        except OSError:
            target.unlink()  # the log still has all of it; a full disk must not get one copy after another
            raise
        log.truncate(0)


class LogRotation:
    """A thread that calls `LogFiles.round` until `stop`."""

    def __init__(self, files: LogFiles, *, every_s: float = CHECK_EVERY_S) -> None:
        self._files = files
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log rotation", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self._files.round()
            except Exception:  # noqa: BLE001 - a full disk, a file removed by hand: the next round may succeed
                _log.exception("the log files could not be rotated")

    def stop(self) -> None:
        """Idempotent. Waits for a round under way."""
        self._stopping.set()
        self._thread.join()
