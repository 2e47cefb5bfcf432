"""Digests of the quarter-hour values of one local day: what a seal records of them, and what a proof is checked by.

Power and coverage come from meters, temperatures from the weather, at other times: each has a digest of its own.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec
import numpy as np

from domain.telemetry.intervals import INTERVAL_S
from domain.time_series.digest import canonical
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import FloatArray, IntervalSeries, TimeWindow

COVERAGE_DECIMALS = 1
"""Both are rounded before they are hashed: a stored coverage has single precision, one computed on request double."""


class DayDigest(msgspec.Struct, frozen=True, kw_only=True):
    """The quarter-hour values of one local day of a facility."""

    quarters: int
    """92, 96 or 100."""
    known: int
    """Those with a mean kW."""
    readings: str
    """SHA-256 (hex) of mean kW and coverage."""
    temperatures: str | None
    """SHA-256 (hex) of the outdoor temperatures; None where none is known."""


class FacilityValues(msgspec.Struct, frozen=True, eq=False):
    """Consecutive quarter-hours of one facility; every array has shape (n,)."""

    kw: IntervalSeries
    """Mean kW, NaN where missing."""
    coverage_pct: FloatArray
    """0 .. 100."""
    temp_c: FloatArray
    """Degrees Celsius, NaN where unknown."""

    @classmethod
    def of(cls, block: IntervalBlock, facility_id: str) -> FacilityValues:
        """Raises ValueError for a facility that is not in the block."""
        row = block.facility_ids.index(facility_id)
        return cls(block.series(facility_id), block.coverage_pct[row], block.temp_c[row])

    @property
    def has_readings(self) -> bool:
        """True if a meter or a file said anything of the load."""
        return bool(np.isfinite(self.kw.values).any() or self.coverage_pct.any())

    def within(self, window: TimeWindow) -> FacilityValues:
        """The quarter-hours of `window`; those outside are missing. Raises NotAligned."""

        def part(values: FloatArray) -> FloatArray:
            return IntervalSeries(self.kw.starts_at, self.kw.step_s, values).slice(window)

        kw = IntervalSeries(window.starts_at, self.kw.step_s, self.kw.slice(window))
        return FacilityValues(kw, np.nan_to_num(part(self.coverage_pct)), part(self.temp_c))


def day_digest(values: FacilityValues) -> DayDigest:
    """The digest of the quarter-hours of one whole local day."""
    return DayDigest(
        quarters=len(values.kw.values),
        known=int(np.isfinite(values.kw.values).sum()),
        readings=readings_digest(values),
        temperatures=temperatures_digest(values) if np.isfinite(values.temp_c).any() else None,
    )


def readings_digest(values: FacilityValues) -> str:
    """SHA-256 (hex) of mean kW and coverage."""
    coverage = np.round(values.coverage_pct, COVERAGE_DECIMALS)
    return sha256(b"kw" + canonical(values.kw) + b"coverage" + _canonical(values, coverage)).hexdigest()


def temperatures_digest(values: FacilityValues) -> str:
    """SHA-256 (hex) of the temperatures."""
    return sha256(b"temp_c" + _canonical(values, values.temp_c)).hexdigest()


def _canonical(values: FacilityValues, column: FloatArray) -> bytes:
    return canonical(IntervalSeries(values.kw.starts_at, INTERVAL_S, column))
