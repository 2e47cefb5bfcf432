"""The refusals of backup and restore. Each says what to do next."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from adapters.embedded.errors import EmbeddedServerError

_NAME = "backup"


class BackupRefused(EmbeddedServerError):
    """Nothing was changed."""

    def __init__(self, failure: str, *, advice: str, log_tail: str = "") -> None:
        super().__init__(_NAME, failure, advice=advice, log_tail=log_tail)


class BackupsNotConfigured(BackupRefused):
    """No folder for backups is named."""

    def __init__(self) -> None:
        super().__init__(
            "there is no folder for backups",
            advice="Set GRIDPROOF_BACKUP_DIR to a folder on another disk, for `gridproof up` as well, which then "
            "archives PostgreSQL's log there",
        )


class ServerNotRunning(BackupRefused):
    """A backup is taken of a running server."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"no embedded PostgreSQL of {data_dir} answers",
            advice="Start `gridproof up`; back up an external PostgreSQL with pgBackRest (docs/guides/backup.md)",
        )


class WalNotArchived(BackupRefused):
    """The server runs without an archive of its log, so a backup could not be restored."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"the running server does not archive its log to {folder}",
            advice="Restart `gridproof up` with the same GRIDPROOF_BACKUP_DIR",
        )


class NoRoom(BackupRefused):
    """The disk has too little room."""

    def __init__(self, folder: Path, needed: int, free: int) -> None:
        super().__init__(
            f"the disk of {folder} has {free // 1_000_000} MB left, and {needed // 1_000_000} MB are needed",
            advice="Free some room, or keep fewer backups (GRIDPROOF_BACKUP_KEEP_FULL)",
        )


class NoBackup(BackupRefused):
    """There is no backup to restore."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"there is no backup in {folder}",
            advice="Look whether GRIDPROOF_BACKUP_DIR is the right folder; `gridproof backup` takes one",
        )


class BackupDamaged(BackupRefused):
    """A backup, or one that it builds on, is not as it was taken."""

    def __init__(self, backup: str, log_tail: str) -> None:
        super().__init__(
            f"backup {backup} is damaged",
            advice="Restore from an older one with --backup NAME (`gridproof backup list`), and look at its disk",
            log_tail=log_tail,
        )


class TargetOutsideArchive(BackupRefused):
    """The moment is before the oldest backup, or after the end of the archived log."""

    def __init__(self, target: datetime, *, earliest: datetime | None, latest: datetime | None) -> None:
        reach = [
            "" if earliest is None else f"from {_written(earliest)}",
            "" if latest is None else f"to {_written(latest)}",
        ]
        super().__init__(
            f"{_written(target)} is outside of what can be restored, {' '.join(filter(None, reach))}",
            advice="Name a moment inside, or --to latest",
        )


class RestoreUnfinished(BackupRefused):
    """A restore was interrupted after it had replaced the database."""

    def __init__(self) -> None:
        super().__init__(
            "a restore of this data folder was interrupted, and is not recorded yet",
            advice="Finish it: gridproof restore --adopt",
        )


class ProgramFailed(BackupRefused):
    """A program of PostgreSQL ended with an error."""


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
