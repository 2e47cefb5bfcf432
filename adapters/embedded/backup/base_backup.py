"""Takes a backup of the running embedded PostgreSQL with pg_basebackup."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import psycopg

from adapters.embedded import binaries
from adapters.embedded.backup.backup_folder import (
    BackupFolder,
    BackupKind,
    BackupRecord,
    check_room,
    described_backup,
    folder_bytes,
)
from adapters.embedded.backup.errors import BackupRefused, ServerNotRunning, WalNotArchived
from adapters.embedded.backup.programs import Progress, no_progress, run_program
from adapters.embedded.data_folder import DataFolder, write_private
from adapters.embedded.errors import EmbeddedServerError
from adapters.embedded.loopback import HOST
from adapters.embedded.postgres import SUPERUSER, EmbeddedPostgres
from adapters.embedded.wal_archive import COMPRESSED, archive_settings

FULL_EVERY = timedelta(days=7)
"""An older full backup is not built upon any more."""
SERVERS_FILE = "servers.json"
"""The passwords of the roles, without which nobody can log in to a restored database on another machine."""
_LINKED = "backup_manifest"


class BackupTaker:
    """Backups of the server that another process runs in `data_dir`."""

    def __init__(
        self,
        data_dir: Path,
        backups: BackupFolder,
        *,
        now: Callable[[], datetime],
        bindir: Path | None = None,
        progress: Progress = no_progress,
    ) -> None:
        if not (data_dir / SERVERS_FILE).exists():
            raise ServerNotRunning(data_dir)
        self._data = DataFolder.beside(data_dir)
        self._backups = backups
        self._now = now
        self._bindir = binaries.postgres_bindir(bindir)
        self._server = EmbeddedPostgres.beside(self._data, bindir=bindir)
        self._progress = progress

    def take(self, *, full: bool, keep_full: int) -> tuple[BackupRecord, list[BackupRecord]]:
        """Take a backup, then remove the expired ones; returns it, and what was removed.

        Incremental where a full one of the last week is there, unless `full`. Raises BackupRefused.
        """
        self._check_server()
        self._backups.make()
        with self._exclusive():
            self._backups.remove_interrupted()
            parent = None if full else self._parent()
            data_bytes = folder_bytes(self._server.working_folder())
            check_room(self._backups.base, data_bytes if parent is None else data_bytes // 2)
            taken = self._run(parent)
            expired = self._backups.expired(keep_full)
            self._backups.remove(expired)
            self._remove_wal()
        return taken, expired

    def _check_server(self) -> None:
        """Raises ServerNotRunning or WalNotArchived."""
        try:
            is_there = self._server.answers()
        except EmbeddedServerError:
            is_there = False
        if not is_there:
            raise ServerNotRunning(self._data.path)
        try:
            with self._server.connect() as connection:
                row = connection.execute("SELECT current_setting('archive_command')").fetchone()
        except psycopg.OperationalError as error:
            raise ServerNotRunning(self._data.path) from error
        if row is None or row[0] != archive_settings(self._backups.wal, at_most_s=1)["archive_command"]:
            raise WalNotArchived(self._backups.wal)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the folder for one backup at a time: the other one is refused."""
        lock = os.open(self._backups.path / "backup.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused(
                f"another backup to {self._backups.path} is under way", advice="Wait until it is done"
            ) from None
        else:
            yield
        finally:
            os.close(lock)

    def _parent(self) -> BackupRecord | None:
        """The newest backup, if its full one is young enough, and the server still writes the same timeline: after a
        restore it lacks the summaries of the log before."""
        backups = self._backups.listed()
        if not backups or (backups[-1].system_identifier, backups[-1].timeline) != self._timeline():
            return None
        begins = self._backups.chain_of(backups[-1])[0]
        return backups[-1] if self._now() - begins.ended_at < FULL_EVERY else None

    def _timeline(self) -> tuple[int, int]:
        """The server's system identifier, and its timeline."""
        with self._server.connect() as connection:
            row = connection.execute(
                "SELECT system_identifier, pg_walfile_name(pg_current_wal_lsn()) FROM pg_control_system()"
            ).fetchone()
        return (int(row[0]), int(row[1][:8], 16)) if row else (0, 0)

    def _run(self, parent: BackupRecord | None) -> BackupRecord:
        started_at = self._now()
        kind: BackupKind = "full" if parent is None else "incremental"
        name = f"{started_at:%Y%m%dT%H%M%S}{started_at.microsecond // 1000:03d}Z-{kind}"
        target = self._backups.folder_of(name)
        words = [str(self._bindir / "pg_basebackup"), "--pgdata", str(target), "--checkpoint=fast"]
        words += ["--wal-method=none", "--progress", "--no-password", "--manifest-checksums=SHA256"]
        words += ["--host", HOST, "--port", str(self._server.ports["postgres"]), "--username", SUPERUSER]
        if parent is not None:
            words += [f"--incremental={self._backups.folder_of(parent.name) / _LINKED}"]
        env = self._server.environment() | {
            "PGPASSWORD": self._data.password(SUPERUSER),
            "PGSSLMODE": "disable",
        }
        advice = "See its message; if an incremental backup cannot be taken, take one with --full"
        try:
            run_program(
                words,
                log=self._data.log("backup"),
                what=f"{kind} backup",
                advice=advice,
                env=env,
                progress=self._progress,
            )
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        record = described_backup(
            target,
            name=name,
            kind=kind,
            parent=None if parent is None else parent.name,
            started_at=started_at,
            ended_at=self._now(),
        )
        write_private(self._backups.path / SERVERS_FILE, (self._data.path / SERVERS_FILE).read_bytes())
        self._backups.save(record)
        return record

    def _remove_wal(self) -> None:
        """Remove what is older than the oldest backup needs."""
        oldest = self._backups.listed()[0].first_wal
        run_program(
            [str(self._bindir / "pg_archivecleanup"), "-b", "-x", COMPRESSED, str(self._backups.wal), oldest],
            log=self._data.log("backup"),
            what="removal of old log files",
            advice="Look at the folder",
            env=self._server.environment(),
        )
