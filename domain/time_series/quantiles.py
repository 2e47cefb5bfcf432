"""Quantiles of load per step, and the compact form in which they are recorded."""

import zlib
from datetime import datetime, timedelta
from typing import Self

import msgspec
import numpy as np

from domain.time_series.windows import FloatArray

WATTS_A_KW = 1000.0
QUANTILES = 3
LEVEL = 1
"""The deflate level: the fastest level is within a tenth of the smallest size here."""


class UnreadableSteps(ValueError):
    """Recorded steps that do not match their declared count."""


class QuantileSteps(msgspec.Struct, frozen=True, kw_only=True):
    """Mean kW of consecutive steps of `step_s` seconds from `starts_at` on: three tuples of one length."""

    starts_at: datetime
    step_s: int
    p10_kw: tuple[float, ...]
    p50_kw: tuple[float, ...]
    p90_kw: tuple[float, ...]

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(seconds=self.step_s * len(self.p50_kw))


class CompactSteps(msgspec.Struct, frozen=True, kw_only=True):
    """The same values in whole watts; less than a kilobyte per day instead of 2.5."""

    starts_at: datetime
    step_s: int
    count: int
    watts: bytes
    """p10, p50 and p90 in sequence, in whole watts; each value minus the one before, as little-endian int64,
    deflated."""

    @classmethod
    def of(cls, starts_at: datetime, step_s: int, kw: FloatArray) -> Self:
        """Compact steps from quantiles of shape (3, steps). Raises ValueError if they are not finite."""
        if kw.ndim != 2 or len(kw) != QUANTILES or not np.isfinite(kw).all():
            raise ValueError(f"three rows of finite kW are compact steps, not {kw.shape}")
        watts = np.rint(kw * WATTS_A_KW).astype(np.int64).ravel()
        steps = np.diff(watts, prepend=0).astype("<i8").tobytes()
        return cls(starts_at=starts_at, step_s=step_s, count=kw.shape[1], watts=zlib.compress(steps, LEVEL))

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(seconds=self.step_s * self.count)

    def kw(self) -> FloatArray:
        """Shape (3, steps). Raises UnreadableSteps."""
        expected = QUANTILES * self.count * 8
        steps = zlib.decompressobj().decompress(self.watts, expected + 1)
        if len(steps) != expected:
            raise UnreadableSteps(f"{len(steps)} bytes where {self.count} steps take {expected}")
        watts: FloatArray = np.cumsum(np.frombuffer(steps, dtype="<i8")) / WATTS_A_KW
        return watts.reshape(QUANTILES, self.count)

    def expanded(self) -> QuantileSteps:
        """The steps as tuples of kW."""
        low, middle, high = self.kw().tolist()
        return QuantileSteps(
            starts_at=self.starts_at,
            step_s=self.step_s,
            p10_kw=tuple(low),
            p50_kw=tuple(middle),
            p90_kw=tuple(high),
        )


def compact(steps: QuantileSteps | CompactSteps) -> CompactSteps:
    """The compact form of steps. Raises ValueError if the quantiles differ in length or are not finite."""
    if isinstance(steps, CompactSteps):
        return steps
    kw = np.array([steps.p10_kw, steps.p50_kw, steps.p90_kw], dtype=np.float64)
    return CompactSteps.of(steps.starts_at, steps.step_s, kw)
