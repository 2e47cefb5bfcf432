"""The meters that have stored readings, and the removal of those of one meter."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec


class RemovalNotSupported(ValueError):
    """The store cannot remove the readings of one meter. The text says what to do instead."""


class StoredMeter(msgspec.Struct, frozen=True, kw_only=True):
    """A meter with stored readings."""

    meter_id: str
    newest_reading_at: datetime
    kw: float | None
    kwh_total: float | None
    """Its newest values; None where they are not known."""


class StoredExtent(msgspec.Struct, frozen=True, kw_only=True):
    """The stored readings of one meter."""

    readings: int
    """A repeated reading may count twice until its quarter-hour is finalized."""
    first_at: datetime
    newest_at: datetime


class ReadingRemoval(msgspec.Struct, frozen=True, kw_only=True):
    """A removal of a meter's readings, and its reason."""

    act_id: UUID
    facility_id: str
    meter_id: str
    reason: str
    removed_at: datetime


class StoredMeters(Protocol):
    """Synchronous. Every method raises TelemetryStoreUnavailable."""

    def meters(self, facility_id: str) -> list[StoredMeter]:
        """The meters of the facility with readings, by id, however old these are."""
        ...

    def extent(self, facility_id: str, meter_id: str) -> StoredExtent | None:
        """None where it has no reading. Raises RemovalNotSupported."""
        ...

    def remove(self, removal: ReadingRemoval) -> int:
        """Remove the readings of the meter, and mark the quarter-hours that they were part of, and those that expected
        the meter, as dirty. Returns the number of readings removed. Raises RemovalNotSupported.

        A removal that was interrupted is completed by the next one.
        """
        ...

    def removals(self, facility_id: str) -> Sequence[ReadingRemoval]:
        """The removals of the facility, the newest first."""
        ...
