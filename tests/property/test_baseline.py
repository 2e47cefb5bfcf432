"""`caiso-10-in-10` against an independent reference: a table of local days and hours."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.baseline import TooFewBaselineDays, compute_baseline, rule_named
from domain.time_series.windows import IntervalSeries, TimeWindow
from tests.sizes import examples

ZONES = ("UTC", "Europe/London", "America/Los_Angeles", "Asia/Kolkata", "Australia/Sydney")
Table = dict[tuple[date, int], float | None]


def table_of(series: IntervalSeries, tz: ZoneInfo) -> Table:
    """The load by local day and hour; of a repeated hour the first one."""
    table: Table = {}
    for i, kw in enumerate(series.values):
        local = (series.starts_at + timedelta(hours=i)).astimezone(tz)
        table.setdefault((local.date(), local.hour), None if np.isnan(kw) else float(kw))
    return table


def reference(
    table: Table, day: date, hour: int, hours: int, dr_event_days: set[date]
) -> tuple[list[date], list[float], float] | int:
    """Days, unadjusted kW by hour, and the clipped factor; or the number of days if there are too few."""
    weekend = day.weekday() >= 5
    wanted = 4 if weekend else 10
    event_hours, before = range(hour, hour + hours), range(hour - 4, hour - 1)
    days = []
    for back in range(1, 46):
        candidate = day - timedelta(days=back)
        complete = all(table.get((candidate, h)) is not None for h in (*event_hours, *before))
        if (candidate.weekday() >= 5) == weekend and candidate not in dr_event_days and complete:
            days.append(candidate)
    days = days[:wanted]
    if len(days) < wanted:
        return len(days)

    def mean(d_hours: list[tuple[date, int]]) -> float:
        loads = [table[key] for key in d_hours]
        return sum(kw for kw in loads if kw is not None) / len(loads)

    known = [h for h in before if table.get((day, h)) is not None]
    factor = 1.0
    if known:
        base, load = mean([(d, h) for d in days for h in known]), mean([(day, h) for h in known])
        factor = min(1.2, max(0.8, load / base)) if base > 0 else 1.0
    return days, [mean([(d, h) for d in days]) for h in event_hours], factor


@settings(max_examples=examples(60), deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    day=st.dates(date(2025, 3, 1), date(2026, 12, 28)),
    hour=st.integers(8, 19),
    hours=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    missing_share=st.sampled_from([0.0, 0.02, 0.2]),
    event_days_back=st.sets(st.integers(1, 45), max_size=15),
)
def test_the_baseline_agrees_with_a_table_of_local_days_and_hours(
    *, zone: str, day: date, hour: int, hours: int, seed: int, missing_share: float, event_days_back: set[int]
) -> None:
    tz = ZoneInfo(zone)
    starts_at = datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC) - timedelta(days=50)
    uniform = np.random.default_rng(seed).uniform
    values = [None if uniform(0, 1) < missing_share else uniform(0, 500) for _ in range(53 * 24)]
    series = IntervalSeries.of(starts_at, 3600, values)
    window_start = datetime(day.year, day.month, day.day, hour, tzinfo=tz).astimezone(UTC)
    window = TimeWindow(window_start, window_start + timedelta(hours=hours))
    dr_event_days = {day - timedelta(days=back) for back in event_days_back}
    expected = reference(table_of(series, tz), day, hour, hours, dr_event_days)
    rule = rule_named("caiso-10-in-10")
    if isinstance(expected, int):
        with pytest.raises(TooFewBaselineDays) as refused:
            compute_baseline(rule, series, window, tz=tz, dr_event_days=dr_event_days)
        assert refused.value.found == expected
        return
    days, baseline_kw, factor = expected
    found = compute_baseline(rule, series, window, tz=tz, dr_event_days=dr_event_days)
    assert list(found.days) == days
    assert [i.baseline_kw for i in found.intervals] == pytest.approx(baseline_kw)
    assert found.adjustment.value == pytest.approx(factor)
    for interval in found.intervals:
        assert interval.adjusted_kw == pytest.approx(interval.baseline_kw * factor)
        assert (interval.metered_kw is None) == (interval.starts_at in found.missing)
        if interval.metered_kw is not None:
            assert interval.delivered_kw == pytest.approx(interval.adjusted_kw - interval.metered_kw)


@settings(max_examples=examples(30), deadline=None)
@given(
    scale=st.floats(0.01, 1_000),
    method=st.sampled_from(["caiso-10-in-10", "high-4-of-5", "high-5-of-10", "mid-8-of-10", "x-of-y"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_meter_in_other_units_gives_the_same_days_and_a_scaled_baseline(
    scale: float, method: str, seed: int
) -> None:
    starts_at = datetime(2026, 5, 1, tzinfo=UTC)
    series = IntervalSeries(starts_at, 3600, np.random.default_rng(seed).uniform(1, 500, 60 * 24))
    begin = datetime(2026, 6, 24, 14, tzinfo=UTC)
    window = TimeWindow(begin, begin + timedelta(hours=3))
    one = compute_baseline(rule_named(method), series, window, tz=ZoneInfo("UTC"))
    other = compute_baseline(rule_named(method), series.scaled(scale), window, tz=ZoneInfo("UTC"))
    assert one.days == other.days
    assert [i.adjusted_kw * scale for i in one.intervals] == pytest.approx(
        [i.adjusted_kw for i in other.intervals]
    )


@settings(max_examples=examples(30), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_load_in_or_after_the_window_does_not_change_the_baseline(seed: int) -> None:
    uniform = np.random.default_rng(seed).uniform
    starts_at, begin = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 24, 14, tzinfo=UTC)
    window = TimeWindow(begin, begin + timedelta(hours=3))
    values = [uniform(1, 500) for _ in range(60 * 24)]
    first = int((begin - starts_at) / timedelta(hours=1))
    changed = [*values[: first - 1], *(uniform(1, 500) for _ in values[first - 1 :])]
    made = [
        compute_baseline(
            rule_named("caiso-10-in-10"), IntervalSeries.of(starts_at, 3600, v), window, tz=ZoneInfo("UTC")
        )
        for v in (values, changed)
    ]
    assert [i.adjusted_kw for i in made[0].intervals] == [i.adjusted_kw for i in made[1].intervals]
