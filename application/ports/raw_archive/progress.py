"""The progress of the raw archive, reported to processes that cannot query the log and the archive."""

from datetime import datetime
from typing import Protocol

import msgspec


class ArchiveProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of one partition. It is derived from manifest and log, so it may be lost."""

    partition: int
    log_id: str
    stream_seq: int
    """Archived up to here."""
    archived_through: datetime
    """Everything that the log received before this moment is in the archive."""
    waiting: int
    """Messages that are not archived yet."""
    objects: int
    reported_at: datetime = msgspec.field(name="told_at")
    """`gridproof telemetry archive status --json` publishes it as `told_at`."""


class RawArchiveProgress(Protocol):
    """Synchronous. Every method raises OperationsUnavailable."""

    def report(self, progress: ArchiveProgress) -> None: ...

    def listed(self) -> list[ArchiveProgress]:
        """By partition."""
        ...

    def archived_through(self) -> datetime | None:
        """The moment up to which everything received is in the archive; None: nothing is archived."""
        ...
