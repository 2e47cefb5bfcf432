"""The alert for a backup that is too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from interfaces.workers.watch.backup_monitor import BackupMonitor
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


class Backups:
    """The newest backup, and an alert registry."""

    def __init__(self) -> None:
        self.newest_at: datetime | None = None
        self.is_unreadable = False
        self.now = NOW
        self.alerts = FakeAlertRegistry()

    def newest(self) -> datetime | None:
        if self.is_unreadable:
            raise PermissionError("Permission denied")
        return self.newest_at

    def open_alert(self) -> str | None:
        """The detail of the open alert after one check."""
        clock = FakeClock(datetime(2026, 7, 14, tzinfo=UTC))
        BackupMonitor(self.newest, lambda: self.now, self.alerts, clock).check()
        is_open = (one for one in self.alerts.listed() if one.cleared_at is None)
        return next((one.detail for one in is_open if one.name == "backup_too_old"), None)


def test_a_backup_older_than_a_day_is_alerted_until_there_is_a_newer_one() -> None:
    backups = Backups()
    backups.newest_at = NOW
    assert backups.open_alert() is None
    backups.now = NOW + timedelta(hours=27)
    assert backups.open_alert() == "the newest one is of 2026-11-29 12:00Z"
    backups.newest_at = NOW + timedelta(hours=25)
    assert backups.open_alert() is None


def test_no_backup_and_an_unreadable_folder_are_alerted() -> None:
    backups = Backups()
    assert backups.open_alert() == "there is no backup yet: gridproof backup"
    backups.is_unreadable = True
    assert backups.open_alert() == "the folder of backups cannot be read: Permission denied"
