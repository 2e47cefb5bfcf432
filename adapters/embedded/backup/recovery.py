"""Restores a backup to a moment: combines its parts, replays the archived log, and puts the result in place."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg

from adapters.embedded import binaries, unprivileged
from adapters.embedded.backup.backup_folder import BackupFolder, BackupRecord, check_room
from adapters.embedded.backup.errors import BackupDamaged, BackupRefused, ProgramFailed, TargetOutsideArchive
from adapters.embedded.backup.pending_restore import PendingRestore
from adapters.embedded.backup.programs import Progress, no_progress, run_program
from adapters.embedded.data_folder import DataFolder
from adapters.embedded.errors import ServerExited
from adapters.embedded.launcher import remove_folder
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.wal_archive import archive_file, copy_unarchived, restore_command

RECOVERED_WITHIN_S = 86_400.0
_SHORT = "recovery ended before configured recovery target was reached"
_EARLY = "requested recovery stop point is before consistent recovery point"
_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+)")


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a recovery."""

    backup: str
    last_transaction_at: datetime | None
    """None: the backup itself, and nothing after it."""
    seconds: float


class RecoveringPostgres(EmbeddedPostgres):
    """A server that replays the log in a folder of its own up to a moment, and is ready once it is writable."""

    name = "recovery"

    def __init__(
        self, data: DataFolder, folder: Path, *, bindir: Path | None, wal: Path, target: datetime | None
    ) -> None:
        settings = {
            "restore_command": restore_command(wal),
            "recovery_target_action": "promote",
            "recovery_target_timeline": "latest",
            "archive_mode": "off",  # nothing of it is archived before it is in place
            "hot_standby": "on",
        }
        if target is not None:
            settings["recovery_target_time"] = target.astimezone(UTC).isoformat()
        super().__init__(data, bindir=bindir, settings=settings, start_deadline_s=RECOVERED_WITHIN_S)
        self._restored_folder = folder

    def working_folder(self) -> Path:
        return self._restored_folder

    def answers(self) -> bool:
        if not super().answers():
            return False
        try:
            with self.connect() as connection:
                return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        except psycopg.OperationalError:
            return False

    def after_start(self) -> None:
        return


class BackupRecovery:
    """Recovers one chain of backups into `folder`, which is empty before. `data` is locked by the caller."""

    def __init__(
        self,
        data: DataFolder,
        backups: BackupFolder,
        folder: Path,
        *,
        bindir: Path | None = None,
        progress: Progress = no_progress,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._data = data
        self._backups = backups
        self._folder = folder
        self._bindir_setting = bindir
        self._bindir = binaries.postgres_bindir(bindir)
        self._progress = progress
        self._monotonic = monotonic

    def recover(
        self, record: BackupRecord, target: datetime | None, *, former: Path | None = None
    ) -> tuple[Recovered, RecoveringPostgres]:
        """Returns the server while it runs. `former` is the database folder before the accident, if there is one.

        Raises BackupDamaged, NoRoom or TargetOutsideArchive; nothing but `folder` was changed then.
        """
        began = self._monotonic()
        self._put_together(record)
        if former is not None:
            copy_unarchived(former / "pg_wal", self._backups.wal, self._folder / "pg_wal")
        (self._folder / "recovery.signal").touch(mode=0o600)
        self._give_away()
        try:
            server = self._replayed(target, target, former)
        except BaseException:
            remove_folder(self._folder)
            raise
        last = _LAST.findall(server.log_of_start())
        at = datetime.fromisoformat(last[-1]).replace(tzinfo=UTC) if last else None
        return Recovered(
            backup=record.name, last_transaction_at=at, seconds=self._monotonic() - began
        ), server

    def _put_together(self, record: BackupRecord) -> None:
        chain = self._backups.chain_of(record)
        self._folder.parent.mkdir(mode=0o700, exist_ok=True)
        remove_folder(self._folder)
        check_room(self._folder.parent, sum(one.stored_bytes for one in chain))
        folders = [self._backups.folder_of(one.name) for one in chain]
        for one, folder in zip(chain, folders, strict=True):
            self._checked(
                one,
                [str(self._bindir / "pg_verifybackup"), "--no-parse-wal", "--progress", str(folder)],
                f"verifying {one.name}",
            )
        words = [str(self._bindir / "pg_combinebackup"), *map(str, folders), "--output", str(self._folder)]
        self._checked(record, words, "putting the backup together")

    def _checked(self, record: BackupRecord, words: list[str], what: str) -> None:
        try:
            run_program(words, log=self._data.log("restore"), what=what, advice="", progress=self._progress)
        except ProgramFailed as error:
            remove_folder(self._folder)
            raise BackupDamaged(record.name, error.log_tail) from error

    def _give_away(self) -> None:
        """To the owner of the database's folder, which is `nobody` where user namespaces are unavailable."""
        unprivileged.prefix(self._folder.parent, self._bindir / "postgres")
        owner = self._folder.parent.stat()
        if owner.st_uid == self._folder.stat().st_uid:
            return
        for place, folders, files in os.walk(self._folder):
            for entry in (place, *(os.path.join(place, name) for name in (*folders, *files))):  # noqa: PTH118
                os.lchown(entry, owner.st_uid, owner.st_gid)

    def _replayed(
        self, asked: datetime | None, target: datetime | None, former: Path | None
    ) -> RecoveringPostgres:
        self._progress("replaying the log", 0)
        server = RecoveringPostgres(
            self._data,
            self._folder,
            bindir=self._bindir_setting,
            wal=self._backups.wal,
            target=target,
        )
        try:
            server.start()
        except ServerExited as error:
            if asked is not None and target is not None:
                covered = self._covered_until(former)
                if _SHORT in error.log_tail and covered is not None and asked <= covered:
                    return self._replayed(
                        asked, None, former
                    )  # nothing was committed between its end and then
                if _SHORT in error.log_tail or _EARLY in error.log_tail:
                    earliest = self._backups.listed()[0].ended_at
                    raise TargetOutsideArchive(asked, earliest=earliest, latest=covered) from error
            raise BackupRefused(
                "the log cannot be replayed",
                advice=f"See {server.log}; an older backup may do (--backup NAME)",
                log_tail=error.log_tail,
            ) from error
        self._progress("replaying the log", 100)
        return server

    def _covered_until(self, former: Path | None) -> datetime | None:
        """A moment before which everything that was committed is in the log that is there."""
        times = [file.stat().st_mtime for file in self._backups.wal_files()]
        if former is not None and (control := former / "global" / "pg_control").exists():
            times.append(control.stat().st_mtime)
        return datetime.fromtimestamp(max(times), UTC) if times else None


def put_in_place(data: DataFolder, backups: BackupFolder, pending: PendingRestore) -> None:
    """Replace the database by the restored one, and keep the former one beside it. A repetition goes on where it was
    interrupted."""
    folder = data.folder("postgres")
    current, restored, former = folder / "pgdata", folder / "pgdata.restoring", folder / pending.former
    pending.save(data.path)
    if restored.exists():
        if current.exists():
            current.rename(former)
        restored.rename(current)
    # A later restore follows the newest history: that of the restored database.
    for history in (current / "pg_wal").glob("*.history"):
        archive_file(history, backups.wal)
