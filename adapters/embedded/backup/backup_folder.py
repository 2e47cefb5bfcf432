"""The folder of backups: one folder and one record for each, and the archived log of PostgreSQL beside them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from adapters.embedded.backup.errors import NoBackup, NoRoom, TargetOutsideArchive
from adapters.embedded.data_folder import write_private
from adapters.embedded.wal_archive import lsn_of, make_private, timeline_ends
from domain.event_sourcing.decoders import json_decoder

BackupKind = Literal["full", "incremental"]
SPARE_BYTES = 100_000_000
"""What stays free on a disk that a backup or a restore is written to."""


class BackupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A backup, as its record beside it says."""

    name: str
    kind: BackupKind
    parent: str | None = None
    """The backup that an incremental one builds on."""
    started_at: datetime
    ended_at: datetime
    """From here on moments can be restored. Wall time of this machine."""
    first_wal: str
    """The first file of PostgreSQL's log that a restore needs."""
    timeline: int
    end_lsn: str
    """The position in PostgreSQL's log from which on the backup is consistent."""
    system_identifier: int
    stored_bytes: int


class BackupFolder:
    """`path`/base has the backups, `path`/wal the archived log. Only the owner may enter them."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.base = self.path / "base"
        self.wal = self.path / "wal"

    def make(self) -> None:
        """Create the folders; other users lose the right to read in one that is there already."""
        for folder in (self.path, self.base, self.wal):
            make_private(folder)

    def folder_of(self, name: str) -> Path:
        return self.base / name

    def listed(self) -> list[BackupRecord]:
        """All complete backups, the oldest first. A folder without a record was interrupted and is none."""
        records = [json_decoder(BackupRecord).decode(file.read_bytes()) for file in self.base.glob("*.json")]
        return sorted(
            (one for one in records if self.folder_of(one.name).is_dir()), key=lambda one: one.ended_at
        )

    def newest_at(self) -> datetime | None:
        """When the newest backup was complete. Raises OSError where the folder cannot be read."""
        self.base.stat()
        return max((one.ended_at for one in self.listed()), default=None)

    def chain_of(self, record: BackupRecord) -> list[BackupRecord]:
        """The full backup that it builds on, and all up to it. Raises NoBackup where one is gone."""
        by_name = {one.name: one for one in self.listed()}
        chain = [record]
        while (parent := chain[-1].parent) is not None:
            if parent not in by_name:
                raise NoBackup(self.folder_of(parent))
            chain.append(by_name[parent])
        return chain[::-1]

    def chosen(self, target: datetime | None, name: str | None = None) -> BackupRecord:
        """The newest backup that ended before `target`, or that of this name. Raises NoBackup or
        TargetOutsideArchive."""
        if name is not None:
            backups = [one for one in self.listed() if one.name == name]
        else:
            ends = timeline_ends(self.wal)
            backups = [one for one in self.listed() if _is_before(one, ends)]
        if not backups:
            raise NoBackup(self.base if name is None else self.folder_of(name))
        usable = [one for one in backups if target is None or one.ended_at <= target]
        if target is not None and not usable:
            raise TargetOutsideArchive(
                target, earliest=backups[0].ended_at, latest=self.archived_until() or backups[-1].ended_at
            )
        return usable[-1]

    def archived_until(self) -> datetime | None:
        """When the newest file of the log was archived: everything before it is there."""
        times = [file.stat().st_mtime for file in self.wal_files()]
        return datetime.fromtimestamp(max(times)).astimezone() if times else None

    def wal_files(self) -> list[Path]:
        return sorted(file for file in self.wal.iterdir() if not file.name.startswith("."))

    def expired(self, keep_full: int) -> list[BackupRecord]:
        """The backups that are older than the newest `keep_full` full ones."""
        backups = self.listed()
        full = [one for one in backups if one.kind == "full"]
        if len(full) <= keep_full:
            return []
        oldest_kept = full[-keep_full].ended_at
        return [one for one in backups if one.ended_at < oldest_kept]

    def remove(self, records: Sequence[BackupRecord]) -> None:
        for one in records:
            self.record_file(one.name).unlink(missing_ok=True)  # first: without a record it is none
            shutil.rmtree(self.folder_of(one.name), ignore_errors=True)

    def remove_interrupted(self) -> None:
        """Folders of backups that were not completed. The caller ensures that no other backup runs."""
        names = {one.name for one in self.listed()}
        for folder in self.base.iterdir():
            if folder.is_dir() and folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def record_file(self, name: str) -> Path:
        return self.base / f"{name}.json"

    def save(self, record: BackupRecord) -> None:
        write_private(self.record_file(record.name), msgspec.json.encode(record))


def described_backup(
    folder: Path, *, name: str, kind: BackupKind, parent: str | None, started_at: datetime, ended_at: datetime
) -> BackupRecord:
    """The record of a backup that PostgreSQL has completed in `folder`."""
    label = (folder / "backup_label").read_text(encoding="utf-8")
    start = next(line for line in label.splitlines() if line.startswith("START WAL LOCATION:"))
    manifest = json.loads((folder / "backup_manifest").read_bytes())
    wal = manifest["WAL-Ranges"][-1]
    return BackupRecord(
        name=name,
        kind=kind,
        parent=parent,
        started_at=started_at,
        ended_at=ended_at,
        first_wal=start.partition("(file ")[2].rstrip(")"),
        timeline=int(wal["Timeline"]),
        end_lsn=wal["End-LSN"],
        system_identifier=int(manifest["System-Identifier"]),
        stored_bytes=folder_bytes(folder),
    )


def _is_before(backup: BackupRecord, ends: Mapping[int, int] | None) -> bool:
    """True if the newest timeline goes on from that backup. It does not if a restore went back behind it."""
    if ends is None:
        return True
    end = ends.get(backup.timeline)
    return end is not None and lsn_of(backup.end_lsn) <= end


def folder_bytes(folder: Path) -> int:
    """The sizes of all files below it; what vanishes meanwhile has none."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(place, file)).st_size  # noqa: PTH118 - a hundred thousand of them
            except FileNotFoundError:
                continue
    return total


def check_room(folder: Path, needed: int) -> None:
    """Raises NoRoom unless the disk of `folder` has so many bytes and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise NoRoom(folder, needed + SPARE_BYTES, free)
