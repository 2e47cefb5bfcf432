"""Energy from a meter's register: the difference of two readings, with roll-overs and without resets.

A register that decreased has either rolled over or been reset. It rolled over if it was within 1 % of its
maximum and the count beyond is plausible; the maximum is the next power of ten, or 2^32 Wh or kWh. Otherwise,
and after an implausibly large increase, the energy in between is unknown. A meter that feeds in (negative kW)
may count backwards.

Plausible is, per pair of readings, up to twenty times the meter's power plus 10 kWh (for registers that count
coarsely). The meter's power is its highest kW nearby; without any, the lower median of what its register
counted.
"""

import numpy as np
from numpy.typing import NDArray

from domain.telemetry.meter_reading import MAX_ABS_KW

PLAUSIBLE_FACTOR = 20.0
COARSE_KWH = 10.0
NEAR_ITS_END = 0.99
BINARY_ENDS_KWH = (2.0**32 / 1_000.0, 2.0**32)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def counted_kwh(
    before: FloatArray,
    after: FloatArray,
    hours: FloatArray,
    limit_kwh: FloatArray,
    feeds_in: NDArray[np.bool_],
) -> FloatArray:
    """kWh between two register readings; NaN if unknown. Arrays of one length; `hours` > 0, `limit_kwh` >= 0."""
    step = after - before
    kwh = np.where((step >= 0) & (step <= limit_kwh), step, np.nan)
    kwh = np.where((step < 0) & feeds_in & (-step <= limit_kwh), step, kwh)
    fell = np.isnan(kwh) & (step < 0) & (before > 0) & (after >= 0)
    if fell.any():
        for end in (_next_power_of_ten(before), *BINARY_ENDS_KWH):
            beyond = step + end
            rolled_over = fell & np.isnan(kwh) & (before < end) & (before >= NEAR_ITS_END * end)
            kwh = np.where(rolled_over & (beyond >= 0) & (beyond <= limit_kwh), beyond, kwh)
    return np.where(np.abs(kwh) <= MAX_ABS_KW * hours, kwh, np.nan)


def _next_power_of_ten(register: FloatArray) -> FloatArray:
    positive = np.maximum(register, 1.0)
    return np.asarray(10.0 ** (np.floor(np.log10(positive)) + 1.0))


def plausible_kwh(power_kw: FloatArray, hours: FloatArray) -> FloatArray:
    """The most that a meter of `power_kw` counts in `hours`; unbounded if its power is NaN."""
    return np.where(np.isnan(power_kw), np.inf, PLAUSIBLE_FACTOR * power_kw * hours + COARSE_KWH)


def lower_median_by(group: IntArray, values: FloatArray, groups: int) -> FloatArray:
    """Per group 0 .. groups-1 the lower median of its `values`; NaN if it has none."""
    order = np.lexsort((values, group))
    counts = np.bincount(group, minlength=groups)
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    medians = np.full(groups, np.nan)
    some = counts > 0
    medians[some] = values[order][(first + (counts - 1) // 2)[some]]
    return medians
