"""Counts of single readings in a telemetry store, to compare with what it should hold."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

import msgspec


class MeterSeqs(msgspec.Struct, frozen=True, kw_only=True):
    """The readings of one meter, as rows and as distinct sequence numbers. Rows without a number do not
    count."""

    facility_id: str
    meter_id: str
    rows: int
    """Until its quarter-hour is finalized, a repeated reading may be stored twice; only one of them counts."""
    distinct_seqs: int
    lowest_seq: int
    highest_seq: int


class QuarterHourCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A quarter-hour of a facility."""

    facility_id: str
    starts_at: datetime
    moments: int
    """The distinct times at which its meters have a stored reading; a repeated reading counts once."""
    counted: int
    """The readings that its rollups contain, as a reader sees them."""


class StoredReadings(Protocol):
    """Synchronous. A count takes as long as reading the rows. Every method raises TelemetryStoreUnavailable."""

    def seqs(self, facility_prefix: str, since: datetime, until: datetime) -> Iterator[MeterSeqs]:
        """Every meter of the facilities with this id prefix: readings with `since` <= ts <= `until`."""
        ...

    def rolled_up(
        self, facility_prefix: str, since: datetime, until: datetime
    ) -> Iterator[QuarterHourCounts]:
        """The whole quarter-hours that `since` .. `until` touch, of the facilities with this id prefix."""
        ...
