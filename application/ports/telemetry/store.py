"""The telemetry store: readings, quarter-hour intervals and current values of facilities."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, Self
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.telemetry.intervals import INTERVAL_S, RETIRED_AFTER
from domain.telemetry.meter_reading import MeterReading
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import TimeWindow


class TelemetryStoreUnavailable(ConnectionError):
    """The store cannot be reached or is not set up. The same call may succeed later."""


class ReadingsRefused(ValueError):
    """The store will never accept these rows. The text says why."""


class MeterValue(msgspec.Struct, frozen=True, kw_only=True):
    """The newest values of one meter."""

    meter_id: str
    kw: float | None
    measured_at: datetime | None
    """When `kw` was measured."""
    kwh_total: float | None
    newest_reading_at: datetime


class CurrentValue(msgspec.Struct, frozen=True, kw_only=True):
    """The present power of a facility by its meters. A meter that was silent for a day is left out."""

    facility_id: str
    kw: float | None
    """Sum over its meters; None while one of them has not reported its power."""
    measured_at: datetime
    """The time of the oldest value in the sum; without a sum, of the newest reading."""
    meters: tuple[MeterValue, ...]

    @classmethod
    def of(cls, facility_id: str, meters: Sequence[MeterValue]) -> Self:
        """Combine the values of its meters, at least one."""
        newest = max(m.newest_reading_at for m in meters)
        active = tuple(m for m in meters if m.newest_reading_at >= newest - RETIRED_AFTER)
        known = [(m.kw, m.measured_at) for m in active if m.kw is not None and m.measured_at is not None]
        if len(known) < len(active):
            return cls(facility_id=facility_id, kw=None, measured_at=newest, meters=active)
        kw, measured_at = sum(value for value, _ in known), min(at for _, at in known)
        return cls(facility_id=facility_id, kw=kw, measured_at=measured_at, meters=active)


class ImportedIntervals(msgspec.Struct, frozen=True, eq=False):
    """Imported history in columns of one length; (facility, start, step) is unique."""

    facility_ids: tuple[str, ...]
    facility_index: NDArray[np.int64]
    """Index into `facility_ids`."""
    starts_at_s: NDArray[np.int64]
    """Unix seconds, start of the interval."""
    step_s: NDArray[np.int64]
    mean_kw: NDArray[np.float64]
    """NaN where missing."""
    temp_c: NDArray[np.float64]
    """NaN where unknown."""

    def __len__(self) -> int:
        return len(self.starts_at_s)


class ImportOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of an import on the store, in intervals."""

    added: int
    changed: int
    unchanged: int


class TelemetryStore(Protocol):
    """Synchronous. Every method raises TelemetryStoreUnavailable when the store cannot answer."""

    def write_readings(self, partition: int, stream_seq: int, readings: Sequence[MeterReading]) -> int:
        """Store readings that are new by (time, meter), update intervals and current values, and record that
        `partition` is stored up to `stream_seq`; all in one transaction.

        Returns the number of readings added. A repeated reading changes nothing for any reader; in a
        quarter-hour that is not finalized it may be counted.

        Raises ReadingsRefused when the store will never accept them.
        """
        ...

    def position(self, partition: int) -> int:
        """The last sequence of the telemetry log stored for `partition`, 0 before the first."""
        ...

    def current(self, facility_ids: Sequence[str]) -> list[CurrentValue]:
        """In the order of `facility_ids`; facilities without any reading are left out."""
        ...

    def newest_readings_at(self, facility_ids: Sequence[str]) -> dict[str, datetime]:
        """The end of each facility's data (a reading, or the end of an imported value). Facilities without
        data are left out."""
        ...

    def newest_reading_at(self, facility_id: str) -> datetime | None:
        """Like `newest_readings_at`, for one facility."""
        ...

    def interval_series_of(
        self, facility_ids: Sequence[str], window: TimeWindow, step_s: int = INTERVAL_S
    ) -> IntervalBlock:
        """Mean kW, temperature and coverage of many facilities in one round trip
        (domain.time_series.interval_block says which stored interval counts). Raises NotAligned where the
        window is not a whole number of steps."""
        ...

    def import_intervals(self, intervals: ImportedIntervals, import_id: UUID | None = None) -> ImportOutcome:
        """Store imported history beside the metered data, never over it. Repeating an import changes nothing.

        `import_id` is of an import that is begun (application.ports.telemetry.imported_history), which can be taken
        back. Raises ReadingsRefused, also for one that was taken back.
        """
        ...

    def prepare_days(self, days_from: datetime, days_to: datetime) -> None:
        """Create storage for readings of the UTC days from `days_from` through `days_to`."""
        ...
