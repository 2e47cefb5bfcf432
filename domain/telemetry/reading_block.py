"""Readings in columns that behave as a sequence of readings; pure.

Creating an object per reading costs more than all other steps of storing it. A block is a sequence of
readings for code that needs single ones, and columns for code that can use columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, overload

import msgspec
import numpy as np

from domain.telemetry.meter_reading import TRUST, MeterReading
from domain.telemetry.reading_arrays import (
    MOST_TRUSTED,
    BoolArray,
    FloatArray,
    IntArray,
    ReadingColumns,
)

SEPARATOR = "\x1f"
"""Separates meter ids that are joined into one text; no id contains it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANK = {quality: rank for rank, quality in enumerate(TRUST)}
_US = 1e6


class UnjoinableId(ValueError):
    """The id of a meter contains the separator."""


class RareColumns(msgspec.Struct, frozen=True, eq=False):
    """Fields that are equal for nearly every reading: measured, revision 0, complete, without extra fields."""

    trust: IntArray
    """The index of the quality in domain.telemetry.meter_reading.TRUST."""
    revision: IntArray
    incomplete: BoolArray
    extra: list[str | None]

    def chosen(self, which: IntArray) -> RareColumns:
        extra = [self.extra[n] for n in which.tolist()]
        return RareColumns(self.trust[which], self.revision[which], self.incomplete[which], extra)

    def unusual(self) -> BoolArray:
        """True where a reading differs from the defaults."""
        says_more = np.array([text is not None for text in self.extra], dtype=np.bool_)
        odd: BoolArray = (self.trust != MOST_TRUSTED) | (self.revision != 0) | self.incomplete | says_more
        return odd

    @classmethod
    def defaults(cls, count: int) -> RareColumns:
        """The columns of `count` readings with default values."""
        return cls(
            np.full(count, MOST_TRUSTED, dtype=np.int64),
            np.zeros(count, dtype=np.int64),
            np.zeros(count, dtype=np.bool_),
            [None] * count,
        )


class LazyReadings(Sequence[MeterReading]):
    """A sequence whose readings are created on access; subclasses hold the data."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, index: int) -> MeterReading: ...
    @overload
    def __getitem__(self, index: slice) -> list[MeterReading]: ...
    def __getitem__(self, index: int | slice) -> MeterReading | list[MeterReading]:
        return list(self)[index]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented


class ReadingBlock(LazyReadings):
    """Readings in columns.

    `facility_ids` and `counts` have one length: each facility, and how many consecutive readings belong to
    it. All other columns have the length of the block. Raises ValueError otherwise.
    """

    __slots__ = ("counts", "facility_ids", "kw", "kwh_total", "meter_ids", "rare", "seq", "ts_us")

    def __init__(
        self,
        *,
        facility_ids: Sequence[str],
        counts: IntArray,
        meter_ids: str,
        ts_us: IntArray,
        kw: FloatArray,
        kwh_total: FloatArray,
        seq: IntArray,
        rare: RareColumns | None = None,
    ) -> None:
        self.facility_ids = facility_ids
        self.counts = counts
        self.meter_ids = meter_ids
        """Joined by SEPARATOR."""
        self.ts_us = ts_us
        """Microseconds since 1970, UTC."""
        self.kw = kw
        self.kwh_total = kwh_total
        """NaN if the reading has none; likewise `kw`."""
        self.seq = seq
        """-1 if it has none."""
        self.rare = rare
        """None: all have default values."""
        self._check()

    def _check(self) -> None:
        length = len(self.ts_us)
        lengths = {len(self.kw), len(self.kwh_total), len(self.seq)}
        if self.rare is not None:
            lengths |= {len(getattr(self.rare, name)) for name in self.rare.__struct_fields__}
        if lengths != {length} or self.meter_ids.count(SEPARATOR) != max(length - 1, 0):
            raise ValueError("columns of readings are not of one length")
        if (
            len(self.counts) != len(self.facility_ids)
            or self.counts.sum() != length
            or (self.counts < 1).any()
        ):
            raise ValueError("the counts of the facilities do not add up to the number of readings")

    @classmethod
    def of(cls, readings: Iterable[MeterReading]) -> ReadingBlock:
        """The block of `readings`; `readings` itself if it is a block. Raises UnjoinableId."""
        if isinstance(readings, cls):
            return readings
        readings = list(readings)
        runs = [(one, len(list(run))) for one, run in groupby([r.facility_id for r in readings])]
        meter_ids = SEPARATOR.join([r.meter_id for r in readings])
        if meter_ids.count(SEPARATOR) != max(len(readings) - 1, 0):
            raise UnjoinableId("a meter id holds the control character 0x1f")
        return cls(
            facility_ids=[one for one, _ in runs],
            counts=np.array([count for _, count in runs], dtype=np.int64),
            meter_ids=meter_ids,
            ts_us=microseconds([r.ts for r in readings]),
            kw=np.array([r.kw for r in readings], dtype=np.float64),
            kwh_total=np.array([r.kwh_total for r in readings], dtype=np.float64),
            seq=np.array([-1 if r.seq is None else r.seq for r in readings], dtype=np.int64),
            rare=_rare_of(readings),
        )

    @classmethod
    def joined(cls, blocks: Sequence[ReadingBlock]) -> ReadingBlock:
        """The blocks, concatenated."""
        blocks = [block for block in blocks if len(block)]
        if len(blocks) <= 1:
            return blocks[0] if blocks else cls.of([])
        rare = None
        if any(block.rare is not None for block in blocks):
            every = [RareColumns.defaults(len(b)) if b.rare is None else b.rare for b in blocks]
            rare = RareColumns(
                extra=[text for one in every for text in one.extra],
                **{name: np.concatenate([getattr(one, name) for one in every]) for name in _RARE_ARRAYS},
            )
        return cls(
            facility_ids=[one for block in blocks for one in block.facility_ids],
            meter_ids=SEPARATOR.join([block.meter_ids for block in blocks]),
            rare=rare,
            **{name: np.concatenate([getattr(block, name) for block in blocks]) for name in _ARRAYS},
        )

    def chosen(self, which: BoolArray) -> ReadingBlock:
        """The readings selected by `which`, in their order."""
        whose = np.repeat(np.arange(len(self.counts)), self.counts)
        counts = np.bincount(whose[which], minlength=len(self.counts))
        places = np.flatnonzero(which)
        names = self.meter_of_each()
        return ReadingBlock(
            facility_ids=[self.facility_ids[n] for n in np.flatnonzero(counts).tolist()],
            counts=counts[counts > 0],
            meter_ids=SEPARATOR.join([names[n] for n in places.tolist()]),
            rare=None if self.rare is None else self.rare.chosen(places),
            **{name: getattr(self, name)[which] for name in _ARRAYS if name != "counts"},
        )

    def facility_of_each(self) -> list[str]:
        """The facility of each reading."""
        return [
            one for one, n in zip(self.facility_ids, self.counts.tolist(), strict=True) for one in (one,) * n
        ]

    def meter_of_each(self) -> list[str]:
        """The meter of each reading."""
        return self.meter_ids.split(SEPARATOR) if len(self) else []

    def __len__(self) -> int:
        return len(self.ts_us)

    def __iter__(self) -> Iterator[MeterReading]:
        rare = self.rare or RareColumns.defaults(len(self))
        kw, kwh_total = (
            [one if one == one else None for one in column.tolist()]  # noqa: PLR0124 - not NaN
            for column in (self.kw, self.kwh_total)
        )
        for facility_id, meter_id, us, power, register, seq, trust, revision, incomplete, extra in zip(
            self.facility_of_each(),
            self.meter_of_each(),
            self.ts_us.tolist(),
            kw,
            kwh_total,
            self.seq.tolist(),
            rare.trust.tolist(),
            rare.revision.tolist(),
            rare.incomplete.tolist(),
            rare.extra,
            strict=True,
        ):
            ts, quality = _EPOCH + timedelta(microseconds=us), TRUST[trust]
            number = None if seq < 0 else seq
            yield MeterReading(
                facility_id, meter_id, ts, power, register, number, quality, incomplete, extra, revision
            )

    def __repr__(self) -> str:
        return f"ReadingBlock.of({list(self)!r})"


_ARRAYS = ("counts", "ts_us", "kw", "kwh_total", "seq")
_RARE_ARRAYS = ("trust", "revision", "incomplete")


def columns_of_meter(readings: Iterable[MeterReading]) -> ReadingColumns:
    """The columns of readings of one meter; `ts_us` is after 1970, UTC. Raises UnjoinableId."""
    block = ReadingBlock.of(readings)
    rare = block.rare or RareColumns.defaults(len(block))
    return ReadingColumns(
        np.zeros(len(block), dtype=np.int64),
        block.ts_us,
        block.kw,
        block.kwh_total,
        block.seq,
        rare.trust,
        rare.revision,
        rare.incomplete,
        np.array(rare.extra, dtype=np.object_),
    )


def facilities_in(readings: Sequence[MeterReading]) -> set[str]:
    """The facilities of the readings; a block answers without creating readings."""
    if isinstance(readings, ReadingBlock):
        return set(readings.facility_ids)
    return {reading.facility_id for reading in readings}


def microseconds(moments: Iterable[datetime]) -> IntArray:
    """Microseconds since 1970, UTC, of moments with a time zone."""
    seconds: list[float] = []
    last, second = _EPOCH, 0.0
    for moment in moments:
        if moment != last:  # The meters of a gateway share one timestamp.
            last, second = moment, moment.timestamp()
        seconds.append(second)
    return np.asarray(np.rint(np.array(seconds, dtype=np.float64) * _US), dtype=np.int64)


def _rare_of(readings: Sequence[MeterReading]) -> RareColumns | None:
    quality, extra = [r.quality for r in readings], [r.extra for r in readings]
    revision, incomplete = [r.revision for r in readings], [r.incomplete for r in readings]
    is_default = quality.count("measured") == extra.count(None) == len(readings)
    if is_default and not any(revision) and not any(incomplete):
        return None
    rank: list[Any] = [_RANK[one] for one in quality]
    return RareColumns(
        np.array(rank, dtype=np.int64),
        np.array(revision, dtype=np.int64),
        np.array(incomplete, dtype=np.bool_),
        extra,
    )
