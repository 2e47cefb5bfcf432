"""How far the raw archive is, told to those who cannot ask the log and the archive themselves."""

from datetime import datetime
from typing import Protocol

import msgspec


class ArchiveProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Of one partition; derived from manifest and log, so that it may be lost."""

    partition: int
    log_id: str
    stream_seq: int
    """Archived up to here."""
    archived_through: datetime
    """Everything that the log took before is in the archive."""
    waiting: int
    """Messages that are not archived yet."""
    objects: int
    told_at: datetime


class RawArchiveProgress(Protocol):
    """Synchronous. Every method raises OperationsUnavailable."""

    def tell(self, progress: ArchiveProgress) -> None: ...

    def listed(self) -> list[ArchiveProgress]:
        """By partition."""
        ...

    def archived_through(self) -> datetime | None:
        """Up to when everything that was received is in the archive; None: nothing is known to be."""
        ...
