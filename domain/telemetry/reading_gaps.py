"""Missing readings of a meter, by time and by its own sequence numbers; pure.

By time: between two readings (of any quality) that are further apart than one and a half times the meter's cadence, one
reading is missing for each further cadence. The cadence is 15 s, unless the meter itself sends at another one: the
median of the time between two readings, divided by the difference of their sequence numbers where both have one. What
is within half of 15 s is 15 s: times vary.

By number: numbers between those of two successive readings. Such a reading was made, and did not arrive. A number that
is not higher than the one before, or higher by more than one for each second between, is a restart of the counter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from domain.telemetry.meter_rollups import DEFAULT_CADENCE_S
from domain.telemetry.reading_arrays import BoolArray, FloatArray, IntArray, ReadingColumns, usable
from domain.time_series.windows import NotAligned, TimeWindow

HOUR_S = 3600
SHORTEST_CADENCE_S, LONGEST_CADENCE_S = 1.0, 900.0
NUMBERS_PER_S = 1.0
"""A counter that rises faster was set, and counts no readings."""
MAX_LISTED = 50
"""Of gaps, and likewise of holes and of restarts, the newest are listed; the hours count all."""
_US = 1_000_000


class TimeGap(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive readings that are missing by time."""

    starts_at: datetime
    """The last reading before it; the window's start where there is none in the quarter-hour before."""
    ends_at: datetime
    """The next reading; the window's end where there is none."""
    missing: int


class SeqHole(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive sequence numbers that did not arrive."""

    first_seq: int
    last_seq: int
    after: datetime
    before: datetime
    """The readings before and after the hole."""


class CounterRestart(msgspec.Struct, frozen=True, kw_only=True):
    """A meter whose sequence numbers began elsewhere."""

    at: datetime
    seq: int
    previous_seq: int


class HourCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A UTC hour of a meter, or the sums over several."""

    starts_at: datetime
    readings: int
    unusable: int
    """Of these, the ones whose quality says that they are no measurement."""
    missing: int
    """By time."""
    missing_seqs: int
    restarts: int

    @property
    def is_short(self) -> bool:
        """True if a reading is missing, or is no measurement."""
        return bool(self.missing or self.missing_seqs or self.unusable)


class MeterGaps(msgspec.Struct, frozen=True, kw_only=True):
    """The gaps of one meter in a window."""

    meter_id: str
    cadence_s: float
    newest_at: datetime | None
    """Its newest reading in the window."""
    hours: tuple[HourCounts, ...]
    """Every hour that the window touches."""
    gaps: tuple[TimeGap, ...]
    holes: tuple[SeqHole, ...]
    restarts: tuple[CounterRestart, ...]

    @property
    def is_short(self) -> bool:
        return any(one.is_short for one in self.hours)


class GapColumns(msgspec.Struct, frozen=True, eq=False):
    """The inputs of gaps, from the readings of one meter in order of time: arrays of one length."""

    ts_us: IntArray
    """Microseconds after 1970, UTC."""
    seq: IntArray
    """-1 if it has none."""
    is_usable: BoolArray

    @classmethod
    def of(cls, readings: ReadingColumns) -> GapColumns:
        return cls(readings.ts_us, readings.seq, usable(readings))

    @classmethod
    def joined(cls, parts: Sequence[GapColumns]) -> GapColumns:
        """`parts` in order of time."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([one.ts_us for one in parts]),
            np.concatenate([one.seq for one in parts]),
            np.concatenate([one.is_usable for one in parts]),
        )

    def __len__(self) -> int:
        return len(self.ts_us)


def gaps_of(meter_id: str, readings: GapColumns | None, window: TimeWindow) -> MeterGaps:
    """The gaps in `window`, which begins on a whole UTC hour; else raises NotAligned.

    `readings` may begin before the window, so that a gap across its start is seen; None: there are none.
    """
    if window.starts_at.timestamp() % HOUR_S:
        raise NotAligned(f"{window.starts_at.isoformat()} is on no whole hour in UTC")
    points = _Points.of(readings, window)
    inside = (points.at_s >= 0) & (points.at_s < window.duration_s)
    cadence_s = points.cadence_s()
    gaps, missing_s = _time_gaps(points.at_s, cadence_s, window)
    numbers = points.numbers()
    holes, missing_seqs_s = _holes(numbers, window)
    count = -int(-window.duration_s // HOUR_S)
    columns = [
        _by_hour(at_s, count)
        for at_s in (
            points.at_s[inside],
            points.at_s[inside & ~points.is_usable],
            missing_s,
            missing_seqs_s,
            numbers.after_s[numbers.is_restart],
        )
    ]
    hours = [
        HourCounts(
            starts_at=window.starts_at + timedelta(seconds=HOUR_S * n),
            readings=readings_,
            unusable=unusable,
            missing=missing,
            missing_seqs=seqs,
            restarts=restarted,
        )
        for n, (readings_, unusable, missing, seqs, restarted) in enumerate(zip(*columns, strict=True))
    ]
    newest_s = points.at_s[inside].max() if inside.any() else None
    return MeterGaps(
        meter_id=meter_id,
        cadence_s=cadence_s,
        newest_at=None if newest_s is None else _moment(window, float(newest_s)),
        hours=tuple(hours),
        gaps=gaps,
        holes=holes,
        restarts=_restarts(numbers, window),
    )


def summed(hours: Sequence[Sequence[HourCounts]]) -> tuple[HourCounts, ...]:
    """The sums of several meters by hour; each of `hours` is of the same window."""
    return tuple(
        HourCounts(
            starts_at=of_hour[0].starts_at,
            **{
                name: sum(getattr(one, name) for one in of_hour)
                for name in HourCounts.__struct_fields__
                if name != "starts_at"
            },
        )
        for of_hour in zip(*hours, strict=True)
    )


class _NumberSteps(msgspec.Struct, frozen=True, eq=False):
    """From each reading with a number to the next one with a number: arrays of one length."""

    before_s: FloatArray
    after_s: FloatArray
    """Seconds after the window's start."""
    first: IntArray
    second: IntArray
    is_hole: BoolArray
    is_restart: BoolArray
    """Both only of steps that end in the window."""


class _Points(msgspec.Struct, frozen=True, eq=False):
    at_s: FloatArray
    """Seconds after the window's start."""
    seq: IntArray
    is_usable: BoolArray

    @classmethod
    def of(cls, readings: GapColumns | None, window: TimeWindow) -> _Points:
        if readings is None:
            nothing = np.empty(0, dtype=np.int64)
            return cls(nothing.astype(np.float64), nothing, nothing.astype(np.bool_))
        at_s = (readings.ts_us - int(window.starts_at.timestamp()) * _US) / _US
        before_end = at_s < window.duration_s
        return cls(at_s[before_end], readings.seq[before_end], readings.is_usable[before_end])

    def numbers(self) -> _NumberSteps:
        known = self.seq >= 0
        at_s, seq = self.at_s[known], self.seq[known]
        steps, spacing_s = np.diff(seq), np.diff(at_s)
        inside = at_s[1:] >= 0
        is_restart = inside & ((steps < 1) | (steps - 1 > spacing_s * NUMBERS_PER_S))
        return _NumberSteps(
            before_s=at_s[:-1],
            after_s=at_s[1:],
            first=seq[:-1],
            second=seq[1:],
            is_hole=inside & ~is_restart & (steps > 1),
            is_restart=is_restart,
        )

    def cadence_s(self) -> float:
        spacing_s = np.diff(self.at_s)
        steps = np.diff(self.seq).astype(np.float64)
        known = (self.seq[1:] >= 0) & (self.seq[:-1] >= 0)
        counts = known & (steps >= 1) & (steps <= np.maximum(1.0, spacing_s * NUMBERS_PER_S))
        each_s = np.where(counts, spacing_s / np.where(counts, steps, 1.0), spacing_s)
        if counts.any():
            each_s = each_s[counts]
        if not len(each_s):
            return DEFAULT_CADENCE_S
        median_s = float(np.clip(np.rint(np.median(each_s)), SHORTEST_CADENCE_S, LONGEST_CADENCE_S))
        return DEFAULT_CADENCE_S if abs(median_s - DEFAULT_CADENCE_S) <= DEFAULT_CADENCE_S / 2 else median_s


def _time_gaps(
    at_s: FloatArray, cadence_s: float, window: TimeWindow
) -> tuple[tuple[TimeGap, ...], FloatArray]:
    """The newest gaps, and the time of each missing reading inside the window."""
    length = window.duration_s
    before = at_s[at_s < 0][-1:] if (at_s < 0).any() else np.array([-cadence_s])
    edges = np.concatenate([before, at_s[at_s >= 0], [length]])
    number = np.maximum(np.ceil(np.diff(edges) / cadence_s - 0.5) - 1, 0).astype(np.int64)
    places = np.flatnonzero(number)
    starts, ends = edges[:-1][places], edges[1:][places]
    missing_s, which = _spread(starts, ends, number[places])
    inside = (missing_s >= 0) & (missing_s < length)
    of_gap = np.bincount(which[inside], minlength=len(places))
    gaps = tuple(
        TimeGap(
            starts_at=_moment(window, max(0.0, float(starts[n]))),
            ends_at=_moment(window, float(ends[n])),
            missing=int(of_gap[n]),
        )
        for n in _newest(of_gap > 0)
    )
    return gaps, missing_s[inside]


def _holes(numbers: _NumberSteps, window: TimeWindow) -> tuple[tuple[SeqHole, ...], FloatArray]:
    """The newest holes that end in the window, and the likely time of each missing number in it."""
    holes = tuple(
        SeqHole(
            first_seq=int(numbers.first[n]) + 1,
            last_seq=int(numbers.second[n]) - 1,
            after=_moment(window, float(numbers.before_s[n])),
            before=_moment(window, float(numbers.after_s[n])),
        )
        for n in _newest(numbers.is_hole)
    )
    places = np.flatnonzero(numbers.is_hole)
    counts = numbers.second[places] - numbers.first[places] - 1
    missing_s, _ = _spread(numbers.before_s[places], numbers.after_s[places], counts)
    return holes, missing_s[missing_s >= 0]


def _restarts(numbers: _NumberSteps, window: TimeWindow) -> tuple[CounterRestart, ...]:
    """The newest ones."""
    return tuple(
        CounterRestart(
            at=_moment(window, float(numbers.after_s[n])),
            seq=int(numbers.second[n]),
            previous_seq=int(numbers.first[n]),
        )
        for n in _newest(numbers.is_restart)
    )


def _newest(which: BoolArray) -> list[int]:
    """The indices of those that are listed: a meter may have one for each of its readings."""
    indices: list[int] = np.flatnonzero(which)[-MAX_LISTED:].tolist()
    return indices


def _spread(starts: FloatArray, ends: FloatArray, counts: IntArray) -> tuple[FloatArray, IntArray]:
    """So many times evenly between each start and end, and the index of their start."""
    which = np.repeat(np.arange(len(starts)), counts)
    nth = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    return starts[which] + (ends - starts)[which] * nth / (counts + 1)[which], which


def _by_hour(at_s: FloatArray, hours: int) -> list[int]:
    counts = np.bincount((at_s // HOUR_S).astype(np.int64), minlength=hours)
    return [int(one) for one in counts[:hours]]


def _moment(window: TimeWindow, offset_s: float) -> datetime:
    return window.starts_at.astimezone(UTC) + timedelta(microseconds=round(offset_s * _US))
