"""Many readings in columns, and which of them count: pure.

What is stored may hold several words of a meter on one moment, as they came: repeated, corrected, restored. The one
with the highest precedence counts (domain.telemetry.meter_reading.precedence), whatever the order.
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.telemetry.meter_reading import REPLACED_VALUES, TRUST, UNUSABLE

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
MOST_TRUSTED = len(TRUST) - 1
_UNUSABLE = np.array([quality in UNUSABLE for quality in TRUST])
_REPLACED = np.array([quality in REPLACED_VALUES for quality in TRUST])


class ReadingColumns(msgspec.Struct, frozen=True, eq=False):
    """Arrays of one length."""

    meter: IntArray
    """Whose: any number that is the same for the same meter."""
    ts_us: IntArray
    """Microseconds after any moment that is the same for all."""
    kw: FloatArray
    kwh_total: FloatArray
    """NaN where the reading has none."""
    seq: IntArray
    """-1 where it has none."""
    trust: IntArray
    """Place of the quality in domain.telemetry.meter_reading.TRUST."""
    revision: IntArray
    incomplete: BoolArray
    extra: NDArray[np.object_]
    """JSON of unknown fields, or None."""

    def __len__(self) -> int:
        return len(self.ts_us)

    def chosen(self, which: NDArray[Any]) -> "ReadingColumns":
        return ReadingColumns(*(getattr(self, name)[which] for name in self.__struct_fields__))


def usable(readings: ReadingColumns) -> BoolArray:
    """Which of them are measurements, or count as such."""
    return np.asarray(~_UNUSABLE[readings.trust], np.bool_)


def replaced(readings: ReadingColumns) -> BoolArray:
    """Which of them are estimates in place of measurements."""
    return np.asarray(_REPLACED[readings.trust], np.bool_)


def standing(readings: ReadingColumns) -> IntArray:
    """The indices of those that count, one a meter and moment, by meter and time."""
    order = np.lexsort((readings.ts_us, readings.meter))
    if not _repeats(readings, order).any():
        return order
    extras = sorted({text for text in readings.extra.tolist() if text})
    rank = {None: 0, "": 0} | {text: number for number, text in enumerate(extras, start=1)}
    order = np.lexsort(
        (
            np.array([rank[text] for text in readings.extra.tolist()], dtype=np.int64),
            ~readings.incomplete,
            _lower_first(readings.kwh_total),
            _lower_first(readings.kw),
            readings.seq,
            readings.trust,
            readings.revision,
            readings.ts_us,
            readings.meter,
        )
    )
    return order[~_repeats(readings, order)]


def _repeats(readings: ReadingColumns, order: IntArray) -> BoolArray:
    """Whether the next one is of the same meter and moment."""
    meter, ts_us = readings.meter[order], readings.ts_us[order]
    same = np.zeros(len(order), dtype=np.bool_)
    same[:-1] = (meter[1:] == meter[:-1]) & (ts_us[1:] == ts_us[:-1])
    return same


def _lower_first(values: FloatArray) -> FloatArray:
    return np.where(np.isnan(values), -np.inf, -values)
