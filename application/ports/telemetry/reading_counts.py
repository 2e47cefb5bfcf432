"""What a telemetry store holds of single readings, counted: for those who know what it should hold."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

import msgspec


class MeterSeqs(msgspec.Struct, frozen=True, kw_only=True):
    """The readings of one meter, as rows and as distinct sequence numbers. Rows without a number do not count."""

    facility_id: str
    meter_id: str
    rows: int
    """A repeat may stand beside its reading until their quarter-hour is settled, and is no row until then."""
    distinct_seqs: int
    lowest_seq: int
    highest_seq: int


class RolledUp(msgspec.Struct, frozen=True, kw_only=True):
    """A quarter-hour of a facility."""

    facility_id: str
    starts_at: datetime
    moments: int
    """Of its meters, that something is stored of: each is one reading, however often it came."""
    counted: int
    """Readings that its rollups say they are made of, as a reader is told."""


class StoredReadings(Protocol):
    """Synchronous; a count takes as long as reading the rows does. Every method raises TelemetryStoreUnavailable."""

    def seqs(self, facility_prefix: str, since: datetime, until: datetime) -> Iterator[MeterSeqs]:
        """Of every meter of the facilities whose ids begin so: readings with `since` <= ts <= `until`."""
        ...

    def rolled_up(self, facility_prefix: str, since: datetime, until: datetime) -> Iterator[RolledUp]:
        """Of the facilities whose ids begin so: the quarter-hours that `since` .. `until` lie in, as a whole."""
        ...
