"""Where a measurement that was computed again differs from the recorded one, named for people; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from math import isclose
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from domain.dispatch import MeasuredDay, MeasurementFigures
from domain.time_series.windows import IntervalSeries, same_local_time

MOST_NAMED = 20
"""Differences of one measurement that are listed."""
RELATIVE, ABSOLUTE = 1e-9, 1e-6
"""Sums of the same numbers may differ in their last digits between processors."""


class FigureDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A difference."""

    what: str
    where: str = ""
    """A local day, or the start of a quarter-hour."""
    recorded: str = ""
    recomputed: str = ""

    @property
    def sentence(self) -> str:
        where = f" {self.where}" if self.where else ""
        return f"{self.what}{where}: recorded {self.recorded or 'nothing'}, recomputed {self.recomputed or 'nothing'}"


def differences_between(
    recorded: MeasurementFigures,
    recomputed: MeasurementFigures,
    metered: IntervalSeries,
    tz: ZoneInfo,
    *,
    with_expected_error: bool = True,
) -> tuple[FigureDifference, ...]:
    """The first MOST_NAMED; `metered` are the values that `recomputed` was computed from.

    `with_expected_error`: its days are in no digest, so it is compared only where they are known to be as they were.
    """
    named = [
        *_values(recorded, metered, tz),
        *_days(recorded, recomputed),
        *_holidays(recorded, recomputed),
        *_adjustment(recorded, recomputed),
        *_intervals(recorded, recomputed),
        *_totals(recorded, recomputed, with_expected_error=with_expected_error),
    ]
    if (
        not named
        and recorded.figures_hash != recomputed.figures_hash
        and _exactly_equal(recorded, recomputed)
    ):
        named.append(_difference("the digest of the figures", recorded.figures_hash, recomputed.figures_hash))
    return tuple(named[:MOST_NAMED])


def _values(
    recorded: MeasurementFigures, metered: IntervalSeries, tz: ZoneInfo
) -> Iterator[FigureDifference]:
    """Recorded values of the window, the adjustment and the days that the file has otherwise."""
    for starts_at, kw in recorded_values(recorded, tz):
        in_file = metered.at(starts_at)
        known = None if in_file != in_file else in_file  # noqa: PLR0124 - NaN
        if kw != known:
            local = starts_at.astimezone(tz)
            yield _difference("value of", kw, known, where=f"{local:%Y-%m-%d %H:%M%z}")


def recorded_values(recorded: MeasurementFigures, tz: ZoneInfo) -> Iterator[tuple[datetime, float | None]]:
    """The quarter-hours of the window, of the adjustment and of the days, by their start."""
    for interval in recorded.intervals:
        yield interval.starts_at, interval.metered_kw
    window = [interval.starts_at for interval in recorded.intervals]
    adjustment: Sequence[datetime] = ()
    kept = recorded.adjustment
    if kept.starts_at is not None and kept.ends_at is not None and kept.values_kw:
        step = (kept.ends_at - kept.starts_at) / len(kept.values_kw)
        adjustment = [kept.starts_at + step * n for n in range(len(kept.values_kw))]
        yield from zip(adjustment, kept.values_kw, strict=True)
    if not window:
        return
    today = window[0].astimezone(tz).date()
    for day in recorded.days:
        distance = (date.fromisoformat(day.day) - today).days
        for starts, values in ((window, day.window_kw), (adjustment, day.adjustment_kw)):
            for start, kw in zip(starts, values, strict=False):
                moved = same_local_time(start, days=distance, tz=tz)
                if moved is not None:
                    yield moved, kw


def _days(recorded: MeasurementFigures, recomputed: MeasurementFigures) -> Iterator[FigureDifference]:
    before, after = _uses(recorded), _uses(recomputed)
    for day in sorted(before.keys() | after.keys()):
        if before.get(day) != after.get(day):
            yield _difference(
                "choice of day", before.get(day, "not used"), after.get(day, "not used"), where=day
            )
    others = {one.day: one for one in recomputed.days}
    for one in recorded.days:
        other = others.get(one.day)
        if other is not None and one.use == other.use and not _same_day(one, other):
            yield _difference("load of day", one.mean_kw, other.mean_kw, where=one.day)


def _same_day(one: MeasuredDay, other: MeasuredDay) -> bool:
    return _close(
        (one.mean_kw, one.window_kw, one.adjustment_kw), (other.mean_kw, other.window_kw, other.adjustment_kw)
    )


def _uses(figures: MeasurementFigures) -> dict[str, str]:
    return {day.day: day.use for day in figures.days} | {
        day.day.isoformat(): f"skipped ({day.why})" for day in figures.skipped
    }


def _holidays(recorded: MeasurementFigures, recomputed: MeasurementFigures) -> Iterator[FigureDifference]:
    for day in sorted(set(recorded.holidays) ^ set(recomputed.holidays)):
        is_recorded = day in recorded.holidays
        yield _difference(
            "holiday",
            "a holiday" if is_recorded else "no holiday",
            "no holiday by the terms" if is_recorded else "a holiday by the terms",
            where=day.isoformat(),
        )


def _adjustment(recorded: MeasurementFigures, recomputed: MeasurementFigures) -> Iterator[FigureDifference]:
    for name in recorded.adjustment.__struct_fields__:
        if name == "values_kw":  # named one by one
            continue
        before, after = getattr(recorded.adjustment, name), getattr(recomputed.adjustment, name)
        if not _close(before, after):
            yield _difference(f"adjustment's {name}", before, after)


def _intervals(recorded: MeasurementFigures, recomputed: MeasurementFigures) -> Iterator[FigureDifference]:
    others = {interval.starts_at: interval for interval in recomputed.intervals}
    if [one.starts_at for one in recorded.intervals] != list(others):
        yield _difference("quarter-hours of the window", len(recorded.intervals), len(others))
        return
    for interval in recorded.intervals:
        other = others[interval.starts_at]
        for name in ("baseline_kw", "adjusted_kw", "metered_kw", "delivered_kw"):
            before, after = getattr(interval, name), getattr(other, name)
            if not _close(before, after):
                yield _difference(name, before, after, where=f"{interval.starts_at:%Y-%m-%d %H:%MZ}")


def _totals(
    recorded: MeasurementFigures, recomputed: MeasurementFigures, *, with_expected_error: bool
) -> Iterator[FigureDifference]:
    for name in ("starts_at", "ends_at", "coverage_pct", "delivered_kw", "dr_event_days"):
        before, after = getattr(recorded, name), getattr(recomputed, name)
        if not _close(before, after):
            yield _difference(name, before, after)
    for name in ("uncertainty", *(("expected_error",) if with_expected_error else ())):
        before, after = getattr(recorded, name), getattr(recomputed, name)
        if before is not None and not _close(_members(before), _members(after)):
            yield _difference(name, before, after)
    if recorded.data_hash != recomputed.data_hash:
        yield _difference("digest of the values used", recorded.data_hash, recomputed.data_hash)


def _members(struct: msgspec.Struct | None) -> Any:
    return None if struct is None else _tuple(msgspec.structs.astuple(struct))


def _tuple(values: Any) -> Any:
    """With the members of nested structs."""
    if isinstance(values, msgspec.Struct):
        return _members(values)
    return tuple(map(_tuple, values)) if isinstance(values, tuple) else values


def _exactly_equal(recorded: MeasurementFigures, recomputed: MeasurementFigures) -> bool:
    return (recorded.intervals, recorded.days, recorded.adjustment) == (
        recomputed.intervals,
        recomputed.days,
        recomputed.adjustment,
    )


def _close(one: Any, other: Any) -> bool:
    """Equal, numbers up to their last digits."""
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_close, one, other))
    return bool(one == other)


def _difference(what: str, recorded: Any, recomputed: Any, *, where: str = "") -> FigureDifference:
    return FigureDifference(what=what, where=where, recorded=_text(recorded), recomputed=_text(recomputed))


def _text(value: Any) -> str:
    if value is None:
        return "missing"
    return value.isoformat() if isinstance(value, datetime) else str(value)
