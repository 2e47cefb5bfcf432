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
    distinct_seqs: int
    lowest_seq: int
    highest_seq: int


class StoredReadings(Protocol):
    """Synchronous; a count takes as long as reading the rows does."""

    def seqs(self, facility_prefix: str, since: datetime, until: datetime) -> Iterator[MeterSeqs]:
        """Of every meter of the facilities whose ids begin so: readings with `since` <= ts <= `until`.

        Raises TelemetryStoreUnavailable.
        """
        ...
