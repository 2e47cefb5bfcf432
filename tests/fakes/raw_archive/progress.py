"""RawArchiveProgress in memory."""

from datetime import datetime

from application.ports.raw_archive.progress import ArchiveProgress
from domain.telemetry.meter_reading import PARTITIONS


class FakeRawArchiveProgress:
    def __init__(self) -> None:
        self.told: dict[int, ArchiveProgress] = {}

    def report(self, progress: ArchiveProgress) -> None:
        self.told[progress.partition] = progress

    def listed(self) -> list[ArchiveProgress]:
        return [self.told[partition] for partition in sorted(self.told)]

    def archived_through(self) -> datetime | None:
        if len(self.told) <= PARTITIONS:
            return None
        return min(one.archived_through for one in self.told.values())
