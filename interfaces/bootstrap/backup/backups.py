"""Backups of the embedded PostgreSQL: taken, listed, restored, and tried in a drill."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from interfaces.bootstrap.backup.restore import RestoreRecorded, record_restore
from interfaces.bootstrap.servers import (
    NoRunningSystem,
    embedded_servers,
    migrate_database,
    with_embedded,
    write_private,
)
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from adapters.embedded.backup.backup_folder import BackupFolder, BackupRecord
    from adapters.embedded.backup.pending_restore import PendingRestore
    from adapters.embedded.backup.recovery import Recovered, RecoveringPostgres
    from adapters.embedded.data_folder import DataFolder
    from application.ledger.verification_report import LedgerReport
    from interfaces.bootstrap.stores import Stores
    from interfaces.workers.watch.backup_monitor import BackupMonitor

Progress = Callable[[str, int], None]
RESTORING = "pgdata.restoring"


class TakenBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A new backup, and the names of those that it made obsolete."""

    backup: BackupRecord
    removed: tuple[str, ...]
    seconds: float


class RestoredDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """A restore of the embedded database."""

    recovered: Recovered | None
    """None: something else had restored the files."""
    former: str | None
    """The folder of the database before it, which may be removed."""
    recorded: RestoreRecorded


class RestoreDrill(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore would bring back, tried beside the running system."""

    recovered: Recovered
    ledger: LedgerReport
    recovery_s: float
    verification_s: float

    @property
    def holds(self) -> bool:
        return self.ledger.verified


def backup_folder(settings: Settings) -> BackupFolder:
    """Raises BackupsNotConfigured, or NoRunningSystem for an external database."""
    from adapters.embedded.backup.backup_folder import BackupFolder
    from adapters.embedded.backup.errors import BackupsNotConfigured

    if settings.backup_dir is None:
        raise BackupsNotConfigured
    folder = BackupFolder(settings.backup_dir)
    folder.make()
    return folder


def refuse_external(settings: Settings) -> None:
    """Raises NoRunningSystem where the settings name a database."""
    if settings.database_url is not None:
        raise NoRunningSystem(
            "GRIDPROOF_DATABASE_URL names a PostgreSQL of its own: back it up and restore it with pgBackRest "
            "(docs/guides/backup.md), then record the restore: gridproof restore --adopt"
        )


def take_backup(settings: Settings, *, full: bool, progress: Progress) -> TakenBackup:
    """Of the database that `gridproof up` runs in the data folder. Raises BackupRefused."""
    from adapters.embedded.backup.base_backup import BackupTaker

    began = time.monotonic()
    taker = BackupTaker(
        settings.data_dir,
        backup_folder(settings),
        now=_now,
        bindir=settings.postgres_bindir,
        progress=progress,
    )
    backup, removed = taker.take(full=full, keep_full=settings.backup_keep_full)
    names = tuple(one.name for one in removed)
    return TakenBackup(backup=backup, removed=names, seconds=time.monotonic() - began)


def list_backups(settings: Settings) -> tuple[Sequence[BackupRecord], datetime | None]:
    """The backups, and until when the archived log reaches."""
    folder = backup_folder(settings)
    return folder.listed(), folder.archived_until()


def _now() -> datetime:
    from adapters.clock import SystemClock

    return SystemClock().now()


def restore_database(
    settings: Settings, target: datetime | None, *, backup: str | None, login: str, progress: Progress
) -> RestoredDatabase:
    """Restore the embedded database, and record it. The former database stays beside it.

    Raises DataFolderInUse while `up` runs, BackupRefused, and the errors of `record_restore`; after those
    `adopt_restore` finishes it.
    """
    from adapters.embedded import orphans
    from adapters.embedded.backup.errors import RestoreUnfinished
    from adapters.embedded.backup.pending_restore import PendingRestore
    from adapters.embedded.backup.recovery import BackupRecovery, put_in_place

    refuse_external(settings)
    folder = backup_folder(settings)
    record = folder.chosen(target, backup)
    with _locked_data(settings, folder) as data:
        if PendingRestore.read(data.path) is not None:
            raise RestoreUnfinished
        current = data.folder("postgres") / "pgdata"
        orphans.end_all(current, "postgres", signal.SIGINT)
        recovery = BackupRecovery(
            data,
            folder,
            current.with_name(RESTORING),
            bindir=settings.postgres_bindir,
            progress=progress,
        )
        recovered, server = recovery.recover(record, target, former=current if current.exists() else None)
        server.stop()
        pending = PendingRestore(
            target_at=target, backup=record.name, former=f"pgdata.before-{_now():%Y%m%dT%H%M%SZ}"
        )
        put_in_place(data, folder, pending)
    return _finished(settings, pending, recovered, login=login)


@contextmanager
def _locked_data(settings: Settings, folder: BackupFolder) -> Iterator[DataFolder]:
    """The data folder, with the passwords of the roles in it. Raises DataFolderInUse."""
    from adapters.embedded.backup.base_backup import SERVERS_FILE
    from adapters.embedded.data_folder import DataFolder

    mine, copy = settings.data_dir / SERVERS_FILE, folder.path / SERVERS_FILE
    if not mine.exists() and copy.exists():  # a new machine, or a lost disk
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(mine, copy.read_bytes())
    with closing(DataFolder.opened(settings.data_dir)) as data:
        yield data


def adopt_restore(settings: Settings, target: datetime | None, *, login: str) -> RestoredDatabase:
    """Record a restore that pgBackRest made, or finish one of the embedded database that was interrupted."""
    from adapters.embedded.backup.pending_restore import PendingRestore
    from adapters.embedded.backup.recovery import put_in_place

    if settings.database_url is not None:
        recorded = record_restore(settings, target, login=login)
        return RestoredDatabase(recovered=None, former=None, recorded=recorded)
    pending = PendingRestore.read(settings.data_dir)
    if pending is None:
        pending = PendingRestore(target_at=target, backup=None, former="")
    elif pending.backup is not None:
        folder = backup_folder(settings)
        with _locked_data(settings, folder) as data:
            put_in_place(data, folder, pending)
    return _finished(settings, pending, None, login=login)


def _finished(
    settings: Settings, pending: PendingRestore, recovered: Recovered | None, *, login: str
) -> RestoredDatabase:
    """Start the servers alone, record the restore, and let `up` start them again."""
    with embedded_servers(settings, finishes_restore=True) as servers:
        started = with_embedded(settings, servers)
        migrate_database(started, alone=True)
        recorded = record_restore(started, pending.target_at, login=login)
        pending.forget(settings.data_dir)
    return RestoredDatabase(
        recovered=recovered, former=pending.former if pending.backup else None, recorded=recorded
    )


def drill_restore(
    settings: Settings, *, backup: str | None, progress: Progress, verifying: Callable[[str, int, int], None]
) -> RestoreDrill:
    """Restore the newest backup to the end of the archived log in a folder of its own, verify its ledger, and remove
    it. Nothing of the running system is changed. Raises BackupRefused."""
    from adapters.embedded.backup.base_backup import SERVERS_FILE
    from adapters.embedded.backup.recovery import BackupRecovery
    from adapters.embedded.data_folder import DataFolder

    folder = backup_folder(settings)
    record = folder.chosen(None, backup)
    with tempfile.TemporaryDirectory(prefix=".drill-", dir=folder.path) as place:
        Path(place).chmod(0o711)  # PostgreSQL may run as another user, who must reach its own folder
        data_dir = Path(place) / "data"
        data_dir.mkdir(mode=0o700)
        write_private(data_dir / SERVERS_FILE, (folder.path / SERVERS_FILE).read_bytes())
        with closing(DataFolder.opened(data_dir)) as data:
            recovery = BackupRecovery(
                data,
                folder,
                data.folder("postgres") / "pgdata",
                bindir=settings.postgres_bindir,
                progress=progress,
            )
            recovered, server = recovery.recover(record, None)
            try:
                began = time.monotonic()
                ledger = _verified(settings, server, verifying)
                took_s = time.monotonic() - began
            finally:
                server.stop()
    return RestoreDrill(
        recovered=recovered, ledger=ledger, recovery_s=recovered.seconds, verification_s=took_s
    )


def _verified(
    settings: Settings, server: RecoveringPostgres, verifying: Callable[[str, int, int], None]
) -> LedgerReport:
    """The ledger of a restored database, up to the newest checkpoint that it has."""
    from adapters.embedded.postgres import APP
    from application.ledger.recorded_times import TOLERANCE
    from application.ledger.verification import verify_ledger
    from interfaces.bootstrap.ledger import ledger_store, open_archive, public_key
    from interfaces.bootstrap.stores import open_stores

    restored = replace(settings, database_url=server.url(APP), migration_database_url=None)
    with closing(open_stores(restored, pool_size=2)) as stores:
        store = ledger_store(stores)
        return verify_ledger(
            store,
            open_archive(settings),
            public_key(settings),
            up_to=store.last_checkpoint_number(),
            time_tolerance=TOLERANCE / stores.clock.wall_seconds(1.0),
            progress=verifying,
        )


def backup_monitor(stores: Stores) -> BackupMonitor | None:
    """None where no folder for backups is named, or the database is not the embedded one."""
    from adapters.embedded.backup.backup_folder import BackupFolder
    from interfaces.workers.watch.backup_monitor import BackupMonitor

    if stores.settings.backup_dir is None:
        return None
    folder = BackupFolder(stores.settings.backup_dir)
    return BackupMonitor(newest=folder.newest_at, wall_now=_now, alerts=stores.alerts(), clock=stores.clock)
