"""Readings in columns, and the choice between several readings of one meter and moment; pure.

Storage may hold several readings of a meter for one moment, as they arrived: repeated, corrected, restored.
The one with the highest conflict rank counts (domain.telemetry.meter_reading.conflict_rank), whatever their
order.
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
    """A number that is equal for readings of the same meter."""
    ts_us: IntArray
    """Microseconds after one common moment."""
    kw: FloatArray
    kwh_total: FloatArray
    """NaN if the reading has none; likewise `kw`."""
    seq: IntArray
    """-1 if it has none."""
    trust: IntArray
    """The index of the quality in domain.telemetry.meter_reading.TRUST."""
    revision: IntArray
    incomplete: BoolArray
    extra: NDArray[np.object_]
    """JSON of unknown fields, or None."""

    def __len__(self) -> int:
        return len(self.ts_us)

    def chosen(self, which: NDArray[Any]) -> "ReadingColumns":
        return ReadingColumns(*(getattr(self, name)[which] for name in self.__struct_fields__))


class MeterReadings(msgspec.Struct, frozen=True, eq=False):
    """The readings of one meter that count: one per moment, in order of time. `ts_us` is after 1970, UTC."""

    meter_id: str
    columns: ReadingColumns


def usable(readings: ReadingColumns) -> BoolArray:
    """The mask of readings that are measurements, or count as such."""
    return np.asarray(~_UNUSABLE[readings.trust], np.bool_)


def replaced(readings: ReadingColumns) -> BoolArray:
    """The mask of readings that are estimates in place of measurements."""
    return np.asarray(_REPLACED[readings.trust], np.bool_)


def winning_indices(readings: ReadingColumns) -> IntArray:
    """The indices of the readings that count, one per meter and moment, ordered by meter and time."""
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
    """True where the next reading is of the same meter and moment."""
    meter, ts_us = readings.meter[order], readings.ts_us[order]
    same = np.zeros(len(order), dtype=np.bool_)
    same[:-1] = (meter[1:] == meter[:-1]) & (ts_us[1:] == ts_us[:-1])
    return same


def _lower_first(values: FloatArray) -> FloatArray:
    return np.where(np.isnan(values), -np.inf, -values)
