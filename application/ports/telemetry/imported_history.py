"""The imports of history: which there were, and the removal of the rows of one of them."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec


class ImportSpan(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of an import for one facility."""

    facility_id: str
    step_s: int
    starts_at: datetime
    ends_at: datetime
    rows: int
    taken_back_at: datetime | None = None
    """When its rows were removed and its days sealed again; None while that is to be done, or not wanted."""


class NewImport(msgspec.Struct, frozen=True, kw_only=True):
    """An import that begins."""

    import_id: UUID
    begun_at: datetime
    begun_by: str
    file_sha256: str
    spans: tuple[ImportSpan, ...]


class RecordedImport(msgspec.Struct, frozen=True, kw_only=True):
    """An import, and whether it was taken back."""

    import_id: UUID
    begun_at: datetime
    begun_by: str
    file_sha256: str
    rows: int
    facilities: int
    starts_at: datetime
    ends_at: datetime
    completed_at: datetime | None
    """None: it runs, or was interrupted; then some of its rows are stored."""
    added: int | None
    changed: int | None
    """Rows that replaced others; None until it is complete."""
    taken_back_at: datetime | None
    taken_back_by: str | None
    reason: str | None
    facilities_left: int
    """Of an import that is taken back: the facilities that are still to be done."""


class RowsTakenBack(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one facility when an import was taken back."""

    removed: int = 0
    restored: int = 0
    """Rows that have the value of an earlier import again."""
    kept: int = 0
    """Rows that stay as they are, because another import has the same value, or a later one replaced it."""
    corrected: int = 0
    """Quarter-hours of which a correction is recorded."""

    def __add__(self, other: "RowsTakenBack") -> "RowsTakenBack":
        return RowsTakenBack(
            removed=self.removed + other.removed,
            restored=self.restored + other.restored,
            kept=self.kept + other.kept,
            corrected=self.corrected + other.corrected,
        )


class ImportedHistory(Protocol):
    """Synchronous. Every method raises TelemetryStoreUnavailable."""

    def begin(self, new: NewImport) -> None:
        """Record an import, before its first row is stored. Repeating it changes nothing."""
        ...

    def complete(self, import_id: UUID, *, added: int, changed: int, at: datetime) -> None:
        """Record that all of its rows are stored."""
        ...

    def listed(self, *, limit: int) -> list[RecordedImport]:
        """The newest first."""
        ...

    def find(self, id_prefix: str) -> list[RecordedImport]:
        """The imports whose id begins like this, at most two, the newest first."""
        ...

    def spans(self, import_id: UUID) -> list[ImportSpan]:
        """The spans of each facility, by id."""
        ...

    def mark_taken_back(self, import_id: UUID, *, by: str, reason: str, at: datetime) -> None:
        """From now on the store accepts none of its rows. Only the first of several calls counts."""
        ...

    def remove_rows(
        self, import_id: UUID, facility_id: str, *, corrected_from: datetime | None, at: datetime
    ) -> RowsTakenBack:
        """Remove what the import said about the facility, from the newest to the oldest part: each interval has
        afterwards what the remaining imports say of it. Metered readings stay.

        A correction is recorded of each quarter-hour from `corrected_from` on that a reader then sees otherwise (None:
        of none). A removal that was interrupted is completed by the next one. Raises RemovalNotSupported
        (application.ports.telemetry.stored_meters).
        """
        ...

    def finish(self, import_id: UUID, facility_id: str, *, at: datetime) -> None:
        """Record that nothing is left to be done for the facility."""
        ...
