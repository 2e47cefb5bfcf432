"""Backups of the embedded PostgreSQL and restores to a moment, with PostgreSQL's own programs."""

from __future__ import annotations

import os
import shutil
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from adapters.embedded import EmbeddedServers
from adapters.embedded.backup.backup_folder import BackupFolder, BackupRecord
from adapters.embedded.backup.base_backup import BackupTaker
from adapters.embedded.backup.errors import (
    BackupDamaged,
    BackupRefused,
    NoBackup,
    NoRoom,
    RestoreUnfinished,
    ServerNotRunning,
    TargetOutsideArchive,
    WalNotArchived,
)
from adapters.embedded.backup.pending_restore import PendingRestore
from adapters.embedded.backup.recovery import BackupRecovery, put_in_place
from adapters.embedded.data_folder import DataFolder
from adapters.embedded.postgres import WalArchiving
from adapters.embedded.wal_archive import archive_file, lsn_of, timeline_ends

KEEP = 2


def now() -> datetime:
    return datetime.now(UTC)


class BackedUp:
    """A PostgreSQL with an archive of its log, and a table of numbers."""

    between: datetime
    """After 3 and before 4."""
    stopped_at: datetime

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.backups = BackupFolder(folder / "100% backups")
        self.servers = self._servers()

    def _servers(self) -> EmbeddedServers:
        wal = WalArchiving(self.backups.wal, 60)
        return EmbeddedServers(self.data_dir, nats=False, valkey=False, wal=wal)

    def write(self, *numbers: int) -> datetime:
        """Returns a moment after it."""
        with psycopg.connect(self.servers.migration_database_url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS public.numbers (n int)")
            for number in numbers:
                connection.execute("INSERT INTO public.numbers VALUES (%s)", (number,))
        with psycopg.connect(self.servers.migration_database_url) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        time.sleep(0.01)
        moment: datetime = row[0]
        return moment

    def numbers(self) -> list[int]:
        with psycopg.connect(self.servers.migration_database_url) as connection:
            return [number for (number,) in connection.execute("SELECT n FROM public.numbers ORDER BY n")]

    def take(self, *, full: bool = False) -> BackupRecord:
        taker = BackupTaker(self.data_dir, self.backups, now=now)
        return taker.take(full=full, keep_full=KEEP)[0]

    def restore(self, target: datetime | None, *, is_lost: bool = False, backup: str | None = None) -> None:
        """`is_lost`: the database's folder is gone, with all that was not archived."""
        if is_lost:
            shutil.rmtree(self.data_dir / "postgres")
        data = DataFolder.opened(self.data_dir)
        try:
            current = data.folder("postgres") / "pgdata"
            recovery = BackupRecovery(data, self.backups, current.with_name("pgdata.restoring"))
            record = self.backups.chosen(target, backup)
            former = current if current.exists() else None
            _, server = recovery.recover(record, target, former=former)
            server.stop()
            pending = PendingRestore(target_at=target, backup=record.name, former="pgdata.former")
            put_in_place(data, self.backups, pending)
        finally:
            data.close()


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> BackedUp:
    """Numbers 1 (full backup), 2 (incremental backup), 3 and 4 (incremental backup); stopped. Refusals of a running
    server are tried before."""
    rig = BackedUp(tmp_path_factory.mktemp("backup"))
    with rig.servers:
        rig.write(1)
        rig.take()
        rig.write(2)
        rig.take()
        rig.between = rig.write(3)
        rig.write(4)
        rig.take()
        with pytest.raises(WalNotArchived, match="Restart `gridproof up`"):
            BackupTaker(rig.data_dir, BackupFolder(rig.backups.path / "other"), now=now).take(
                full=True, keep_full=1
            )
    rig.stopped_at = now()
    return rig


def test_what_cannot_be_done_is_refused_with_the_next_step(backed_up: BackedUp, tmp_path: Path) -> None:
    backups = backed_up.backups
    with pytest.raises(ServerNotRunning, match="Start `gridproof up`"):
        backed_up.take()
    with pytest.raises(ServerNotRunning):
        BackupTaker(tmp_path / "nowhere", backups, now=now)
    with pytest.raises(NoBackup, match="no backup in"):
        BackupFolder(tmp_path).chosen(None)
    with pytest.raises(NoBackup, match="nobody"):
        backups.chosen(None, "nobody")
    oldest = backups.listed()[0]
    with pytest.raises(TargetOutsideArchive, match="is outside of what can be restored, from 20"):
        backups.chosen(oldest.ended_at - timedelta(seconds=1))
    with pytest.raises(TargetOutsideArchive, match=r"outside of what can be restored, from .* to 20"):
        backed_up.restore(now() + timedelta(days=1))
    huge = msgspec.structs.replace(oldest, stored_bytes=10**18)
    backups.save(huge)
    with pytest.raises(NoRoom, match="GRIDPROOF_BACKUP_KEEP_FULL"):
        backed_up.restore(None)
    backups.save(oldest)
    file = next(backups.folder_of(oldest.name).glob("base/*/pg_filenode.map"))
    whole = file.read_bytes()
    file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(BackupDamaged, match="--backup NAME"):
        backed_up.restore(None)
    file.write_bytes(whole)
    postgres = backed_up.data_dir / "postgres"
    assert [entry.name for entry in postgres.iterdir()] == ["pgdata"], "nothing was changed"


def test_only_the_owner_may_enter_the_backups(backed_up: BackedUp) -> None:
    folder = backed_up.backups
    for place in (folder.path, folder.base, folder.wal, *(folder.folder_of(b.name) for b in folder.listed())):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    for file in (*folder.wal.iterdir(), *folder.base.glob("*.json"), folder.path / "servers.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_backup_is_restored_to_a_moment(backed_up: BackedUp) -> None:
    _, before, behind = backups = backed_up.backups.listed()
    assert [one.kind for one in backups] == ["full", "incremental", "incremental"]
    assert backed_up.backups.chosen(None) == behind
    backed_up.restore(backed_up.between)
    assert backed_up.backups.chosen(None) == before, "the history that goes on does not have the later one"
    with pytest.raises(BackupRefused, match=r"cannot be replayed.*--backup NAME"):
        backed_up.restore(None, backup=behind.name)
    with pytest.raises(RestoreUnfinished, match="gridproof restore --adopt"):
        backed_up.servers.start()
    PendingRestore.forget(backed_up.data_dir)
    with backed_up.servers:
        assert backed_up.numbers() == [1, 2, 3]
        backed_up.write(5)
        later = backed_up.take()
        assert (later.timeline, later.kind) == (2, "full"), "it builds on none of before the restore"
        moment = backed_up.write(6)
        backed_up.write(7)
        last = backed_up.take(full=True)
        assert [one.name for one in backed_up.backups.listed()] == [later.name, last.name], "two are kept"
        names = [file.name[8:24] for file in backed_up.backups.wal_files() if "history" not in file.name]
        assert min(names) == later.first_wal[8:], "what no backup needs is removed, of any timeline"
    shutil.rmtree(backed_up.data_dir / "postgres" / "pgdata.former")
    backed_up.restore(moment, is_lost=True)
    PendingRestore.forget(backed_up.data_dir)
    with backed_up.servers:
        assert backed_up.numbers() == [1, 2, 3, 5, 6], "by the history of the first restore"


def test_a_moment_at_which_nothing_happened_any_more_is_restored(tmp_path: Path) -> None:
    rig = BackedUp(tmp_path)
    with rig.servers:
        rig.write(1)
        rig.take()
        moment = rig.write(2)
    rig.restore(moment)
    PendingRestore.forget(rig.data_dir)
    with rig.servers:
        assert rig.numbers() == [1, 2]


def test_an_archived_history_is_complete_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next restore would follow the timeline of before, and PostgreSQL would archive nothing more."""
    history, wal = tmp_path / "00000003.history", tmp_path / "wal"
    wal.mkdir()
    history.write_text("1\t0/5000060\tbefore 2026\n\n2\t1/7000000\tbefore 2027\n")

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            archive_file(history, wal)
    assert timeline_ends(wal) is None
    for _ in range(2):
        archive_file(history, wal)
        ends = timeline_ends(wal)
        assert ends is not None
        assert (sorted(ends), ends[1], ends[2]) == ([1, 2, 3], lsn_of("0/5000060"), lsn_of("1/7000000"))
