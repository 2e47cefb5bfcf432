"""Baselines against fixed readings and the worked examples of the design's domain note."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from domain.baseline import (
    METHODS,
    Baseline,
    BaselineImpossible,
    BaselineParameters,
    InvalidBaselineRule,
    TooFewBaselineDays,
    UnknownBaselineMethod,
    compute_baseline,
    rule_named,
)
from domain.baseline.expected_error import ExpectedError, expected_error
from domain.time_series.windows import IntervalSeries, NotAligned, TimeWindow

NEW_YORK = ZoneInfo("America/New_York")
EVENT_DAY = date(2026, 7, 14)  # a Tuesday
Load = Callable[[datetime], float | None]


def metered(load: Load, *, first: date, last: date, tz: ZoneInfo, step_s: int = 3600) -> IntervalSeries:
    """A series in which every step is `load` of its local start."""
    starts_at = datetime(first.year, first.month, first.day, tzinfo=tz).astimezone(UTC)
    ends_at = datetime(last.year, last.month, last.day, tzinfo=tz).astimezone(UTC) + timedelta(days=1)
    count = round((ends_at - starts_at).total_seconds() / step_s)
    moments = [starts_at + timedelta(seconds=step_s * i) for i in range(count)]
    return IntervalSeries.of(starts_at, step_s, [load(m.astimezone(tz)) for m in moments])


def local_window(day: date, start_h: float, end_h: float, tz: ZoneInfo) -> TimeWindow:
    midnight = datetime(day.year, day.month, day.day, tzinfo=tz)
    return TimeWindow(midnight + timedelta(hours=start_h), midnight + timedelta(hours=end_h))


def baseline(
    load: Load,
    method: str = "caiso-10-in-10",
    *,
    day: date = EVENT_DAY,
    hours: tuple[float, float] = (14, 16),
    tz: ZoneInfo = NEW_YORK,
    step_s: int = 3600,
    parameters: BaselineParameters | None = None,
    dr_event_days: set[date] | None = None,
    holidays: set[date] | None = None,
) -> Baseline:
    series = metered(load, first=day - timedelta(days=50), last=day + timedelta(days=1), tz=tz, step_s=step_s)
    return compute_baseline(
        rule_named(method, parameters),
        series,
        local_window(day, *hours, tz),
        tz=tz,
        dr_event_days=dr_event_days or set(),
        holidays=holidays or set(),
    )


def usual_and_today(usual: float, morning_before: float, morning_today: float, today: float = 1_000) -> Load:
    """`usual` kW at the DR event's hours of earlier days, and the loads of 10:00-13:00 before and on the day."""

    def load(at: datetime) -> float:
        in_adjustment_window = 10 <= at.hour < 13
        if at.date() == EVENT_DAY:
            return morning_today if in_adjustment_window else today
        return morning_before if in_adjustment_window else usual

    return load


def days_before(day: date, *back: int) -> list[date]:
    return [day - timedelta(days=n) for n in back]


def test_ten_days_of_1800_and_a_window_of_600_against_630_give_1890() -> None:
    found = baseline(usual_and_today(1_800, 600, 630))
    assert found.adjustment.value == pytest.approx(1.05)
    assert found.adjustment.clipped is False
    assert [i.baseline_kw for i in found.intervals] == [1_800, 1_800]
    assert [i.adjusted_kw for i in found.intervals] == pytest.approx([1_890, 1_890])
    assert [i.delivered_kw for i in found.intervals] == pytest.approx([890, 890])


@pytest.mark.parametrize(("before", "today", "factor"), [(1_000, 5_000, 1.2), (1_000, 1, 0.8)])
def test_the_adjustment_factor_is_clipped_to_20_percent_in_both_directions(
    before: float, today: float, factor: float
) -> None:
    found = baseline(usual_and_today(1_800, before, today))
    assert found.adjustment.value == pytest.approx(factor)
    assert found.adjustment.raw == pytest.approx(today / before)
    assert found.adjustment.clipped is True
    assert found.intervals[0].adjusted_kw == pytest.approx(1_800 * factor)


def test_a_zero_base_gives_no_adjustment() -> None:
    found = baseline(usual_and_today(1_800, 0, 630))
    assert (found.adjustment.value, found.adjustment.raw, found.adjustment.clipped) == (1.0, None, False)
    assert "not above zero" in found.adjustment.note
    assert found.intervals[0].adjusted_kw == 1_800


@pytest.mark.parametrize(("today", "difference", "clipped"), [(600, 100, False), (400, 0, True)])
def test_an_upward_only_additive_adjustment_never_lowers_the_baseline(
    today: float, difference: float, clipped: bool
) -> None:
    rule = BaselineParameters(x=10, y=10, adjustment="additive", cap=None, upward_only=True)
    found = baseline(usual_and_today(1_800, 500, today), "x-of-y", parameters=rule)
    assert (found.adjustment.value, found.adjustment.clipped) == (difference, clipped)
    assert found.adjustment.raw == today - 500
    assert found.intervals[0].adjusted_kw == 1_800 + difference


def test_the_adjustment_window_is_the_hours_starting_4_3_and_2_hours_before() -> None:
    def load(at: datetime) -> float:
        # Only the hours 10, 11 and 12 before an event at 14 are equal on all days.
        return 500.0 if 10 <= at.hour < 13 else (9_999.0 if at.date() == EVENT_DAY else 500.0)

    found = baseline(load)
    assert found.adjustment.value == 1.0
    assert found.adjustment.starts_at == local_window(EVENT_DAY, 10, 13, NEW_YORK).starts_at
    assert found.adjustment.ends_at == local_window(EVENT_DAY, 10, 13, NEW_YORK).ends_at


def test_the_new_york_style_window_is_the_hours_starting_4_and_3_hours_before() -> None:
    def load(at: datetime) -> float:
        return 500.0 if at.hour in (10, 11) else (9_999.0 if at.date() == EVENT_DAY else 500.0)

    assert baseline(load, "high-5-of-10").adjustment.value == 1.0


def test_the_ten_most_recent_weekdays_are_chosen() -> None:
    found = baseline(lambda at: 100.0)
    # 2026-07-14 is a Tuesday: Monday, then two whole weeks, then Wednesday to Tuesday are in between.
    assert list(found.days) == days_before(EVENT_DAY, 1, 4, 5, 6, 7, 8, 11, 12, 13, 14)
    assert found.skipped == ()


def test_a_weekend_dr_event_takes_the_four_most_recent_weekend_days() -> None:
    saturday = date(2026, 7, 18)
    found = baseline(lambda at: 100.0, day=saturday)
    assert list(found.days) == days_before(saturday, 6, 7, 13, 14)


def test_a_dr_event_on_a_holiday_is_treated_as_on_a_weekend() -> None:
    found = baseline(lambda at: 100.0, holidays={EVENT_DAY})
    assert list(found.days) == days_before(EVENT_DAY, 2, 3, 9, 10)


def test_dr_event_days_holidays_and_days_with_gaps_are_skipped_with_their_reason() -> None:
    gap, unrelated_gap = date(2026, 7, 9), date(2026, 7, 8)

    def load(at: datetime) -> float | None:
        missing = (at.date() == gap and at.hour == 15) or (at.date() == unrelated_gap and at.hour == 3)
        return None if missing else 100.0

    found = baseline(load, dr_event_days={date(2026, 7, 13)}, holidays={date(2026, 7, 3)})
    assert [(s.day.isoformat(), s.why) for s in found.skipped] == [
        ("2026-07-13", "dr_event_day"),
        ("2026-07-09", "missing_interval"),
        ("2026-07-03", "holiday"),
    ]
    assert unrelated_gap in found.days
    assert len(found.days) == 10
    assert not {s.day for s in found.skipped} & set(found.days)


def test_a_gap_in_the_adjustment_window_skips_the_day_too() -> None:
    monday = date(2026, 7, 13)
    found = baseline(lambda at: None if (at.date() == monday and at.hour == 10) else 100.0)
    assert monday not in found.days


def test_too_few_days_are_refused_with_the_count() -> None:
    first_day = EVENT_DAY - timedelta(days=13)  # nine weekdays are left
    series = metered(lambda at: 100.0, first=first_day, last=EVENT_DAY, tz=NEW_YORK)
    with pytest.raises(
        TooFewBaselineDays, match="only 9 of 10 baseline days in the 45 days before"
    ) as refused:
        compute_baseline(
            rule_named("caiso-10-in-10"), series, local_window(EVENT_DAY, 14, 16, NEW_YORK), tz=NEW_YORK
        )
    assert (refused.value.found, refused.value.wanted) == (9, 10)


@pytest.mark.parametrize(("last_resort", "enough"), [(45, True), (46, False)])
def test_the_look_back_ends_45_days_before(last_resort: int, enough: bool) -> None:
    friday = date(2026, 7, 17)
    nine_weekdays = days_before(
        friday, *(n for n in range(1, 14) if (friday - timedelta(days=n)).weekday() < 5)
    )
    assert len(nine_weekdays) == 9
    tenth = friday - timedelta(days=last_resort)
    holidays = {friday - timedelta(days=n) for n in range(1, 60)} - {*nine_weekdays, tenth}
    if enough:
        assert baseline(lambda at: 100.0, day=friday, holidays=holidays).days[-1] == tenth
    else:
        with pytest.raises(TooFewBaselineDays, match="only 9 of 10"):
            baseline(lambda at: 100.0, day=friday, holidays=holidays)


def test_a_missing_reading_of_the_window_is_reported_and_not_zero() -> None:
    noon = local_window(EVENT_DAY, 15, 16, NEW_YORK).starts_at
    found = baseline(lambda at: None if at.astimezone(UTC) == noon else 100.0)
    assert found.missing == (noon,)
    assert [(i.metered_kw, i.delivered_kw) for i in found.intervals] == [(100.0, 0.0), (None, None)]
    assert (found.coverage, found.delivered_kw, found.delivered_kwh) == (0.5, 0.0, 0.0)


def test_an_hour_with_a_gap_on_the_day_is_excluded_from_both_means_of_the_adjustment() -> None:
    def load(at: datetime) -> float | None:
        if at.date() == EVENT_DAY:
            return {10: None, 11: 330.0, 12: 440.0}.get(at.hour, 100.0)
        return {10: 9_999.0, 11: 300.0, 12: 400.0}.get(at.hour, 100.0)

    found = baseline(load)
    assert found.adjustment.value == pytest.approx(1.1)
    assert found.adjustment.missing == (local_window(EVENT_DAY, 10, 11, NEW_YORK).starts_at,)


def test_without_readings_in_the_adjustment_window_there_is_no_adjustment() -> None:
    found = baseline(lambda at: None if at.date() == EVENT_DAY and at.hour < 13 else 100.0)
    assert found.adjustment.value == 1.0
    assert "metered" in found.adjustment.note


def test_delivery_is_not_clipped_at_zero() -> None:
    found = baseline(usual_and_today(100, 50, 50, today=130))
    assert found.delivered_kw == -30
    assert found.delivered_kwh == -60


@pytest.mark.parametrize("step_s", [300, 900, 3600])
def test_the_energy_does_not_depend_on_the_step_length(step_s: int) -> None:
    found = baseline(usual_and_today(1_800, 600, 630), step_s=step_s)
    assert len(found.intervals) == 7200 // step_s
    assert found.delivered_kwh == pytest.approx(2 * 890)


@pytest.mark.parametrize("hours", [(14.5, 16), (14, 15.25)])
def test_a_window_off_the_steps_is_refused(hours: tuple[float, float]) -> None:
    with pytest.raises(NotAligned, match="3600 s steps"):
        baseline(lambda at: 100.0, hours=hours)
    assert baseline(lambda at: 100.0, hours=hours, step_s=900).missing == ()


def test_a_window_longer_than_a_day_is_refused() -> None:
    with pytest.raises(BaselineImpossible, match="longer than a day"):
        baseline(lambda at: 100.0, hours=(14, 39))


@pytest.mark.parametrize("clocks_changed", [date(2026, 3, 8), date(2026, 11, 1)])
def test_days_before_a_clock_change_are_compared_by_local_time(clocks_changed: date) -> None:
    day = clocks_changed + timedelta(days=2)
    found = baseline(lambda at: 100.0 + at.hour, day=day)
    assert [i.baseline_kw for i in found.intervals] == [114, 115]
    assert [i.delivered_kw for i in found.intervals] == pytest.approx([0, 0])


def test_a_dr_event_on_a_day_of_23_hours_has_a_baseline_and_a_skipped_hour_is_not_a_candidate() -> None:
    sunday = date(2026, 3, 8)  # in New York 02:00 does not exist
    found = baseline(lambda at: 100.0 + at.hour, day=sunday)
    assert [i.baseline_kw for i in found.intervals] == [114, 115]
    next_saturday = date(2026, 3, 14)
    found = baseline(lambda at: 100.0, day=next_saturday, hours=(2, 3))
    assert [(s.day, s.why) for s in found.skipped] == [(sunday, "time_does_not_exist")]


def test_on_a_day_of_25_hours_both_repeated_hours_have_a_baseline() -> None:
    sunday = date(2026, 11, 1)  # in New York 01:00 comes twice
    midnight = datetime(2026, 11, 1, tzinfo=NEW_YORK).astimezone(UTC)
    series = metered(lambda at: 100.0 + at.hour, first=date(2026, 9, 1), last=sunday, tz=NEW_YORK)
    window = TimeWindow(midnight + timedelta(hours=1), midnight + timedelta(hours=4))
    found = compute_baseline(rule_named("caiso-10-in-10"), series, window, tz=NEW_YORK)
    assert [i.baseline_kw for i in found.intervals] == [101, 101, 102]


def test_a_window_over_midnight_belongs_to_the_day_it_starts_on() -> None:
    found = baseline(lambda at: 100.0 + at.hour, hours=(22, 26))
    assert [i.baseline_kw for i in found.intervals] == [122, 123, 100, 101]
    assert found.days[0] == EVENT_DAY - timedelta(days=1)


def test_high_4_of_5_drops_the_lowest_day_and_adds_the_difference_of_the_morning() -> None:
    loads = dict(zip(days_before(EVENT_DAY, 1, 4, 5, 6, 7), (400, 100, 200, 300, 500), strict=True))

    def load(at: datetime) -> float:
        morning = 10 <= at.hour < 13
        return 80.0 if morning and at.date() == EVENT_DAY else 50.0 if morning else loads.get(at.date(), 0.0)

    found = baseline(load, "high-4-of-5")
    assert set(found.days) == set(days_before(EVENT_DAY, 1, 5, 6, 7))
    assert [(c.day, c.mean_kw) for c in found.candidates if c.use == "dropped_lowest"] == [
        (EVENT_DAY - timedelta(days=4), 100)
    ]
    assert (found.adjustment.kind, found.adjustment.value) == ("additive", 30)
    assert found.intervals[0].adjusted_kw == 350 + 30


def test_high_4_of_5_skips_days_far_below_the_average() -> None:
    closed = EVENT_DAY - timedelta(days=1)
    found = baseline(lambda at: 10.0 if at.date() == closed else 100.0, "high-4-of-5")
    assert [(s.day, s.why) for s in found.skipped] == [(closed, "low_load")]
    assert len(found.candidates) == 5
    assert EVENT_DAY - timedelta(days=8) in [c.day for c in found.candidates]


def test_high_5_and_mid_8_of_10_rank_days_by_the_dr_events_hours_only() -> None:
    order = days_before(EVENT_DAY, 1, 4, 5, 6, 7, 8, 11, 12, 13, 14)
    rank = {day: float(n) for n, day in enumerate(order, start=1)}

    def load(at: datetime) -> float:
        in_window = 14 <= at.hour < 16
        # Outside the window the order is reversed.
        return 100.0 + rank.get(at.date(), 0.0) if in_window else 100.0 - rank.get(at.date(), 0.0)

    assert set(baseline(load, "high-5-of-10").days) == set(order[5:])
    assert set(baseline(load, "mid-8-of-10").days) == set(order[1:9])
    low = baseline(load, "x-of-y", parameters=BaselineParameters(x=3, y=10, pick="low", adjustment="none"))
    assert set(low.days) == set(order[:3])
    assert low.intervals[0].adjusted_kw == low.intervals[0].baseline_kw == 102
    mid = baseline(load, "x-of-y", parameters=BaselineParameters(x=4, y=10, pick="mid", adjustment="none"))
    assert set(mid.days) == set(order[3:7])


def test_weekday_rules_refuse_a_dr_event_on_a_weekend() -> None:
    for method in ("high-4-of-5", "high-5-of-10", "mid-8-of-10"):
        with pytest.raises(BaselineImpossible, match="weekdays only"):
            baseline(lambda at: 100.0, method, day=date(2026, 7, 18))


def test_the_meter_before_method_gives_a_flat_baseline() -> None:
    found = baseline(lambda at: float(at.hour * 4 + at.minute // 15), "meter-before-meter-after", step_s=900)
    assert {i.baseline_kw for i in found.intervals} == {np.mean([52, 53, 54, 55])}
    assert (found.adjustment.kind, found.adjustment.value, found.days) == ("none", None, ())
    with pytest.raises(BaselineImpossible, match="nothing was metered"):
        baseline(lambda at: None if at.hour == 13 else 1.0, "meter-before-meter-after")


def test_a_firm_service_level_baseline_needs_its_level() -> None:
    found = baseline(lambda at: 70.0, "firm-service-level", parameters=BaselineParameters(level_kw=60))
    assert found.delivered_kw == -10
    with pytest.raises(InvalidBaselineRule, match="needs the contracted level"):
        rule_named("firm-service-level")


def test_a_difference_is_capped_as_a_share_of_the_baseline() -> None:
    rule = BaselineParameters(x=10, y=10, adjustment="additive", cap=0.2)
    found = baseline(usual_and_today(1_800, 500, 900), "x-of-y", parameters=rule)
    assert (found.adjustment.value, found.adjustment.raw, found.adjustment.clipped) == (100, 400, True)


@pytest.mark.parametrize(
    "wrong",
    [{"x": 0}, {"x": 11}, {"y": 60}, {"x": 5, "y": 10, "pick": "mid"}, {"cap": 1.5}, {"cap": float("nan")}],
)
def test_inconsistent_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidBaselineRule):
        rule_named("x-of-y", msgspec.structs.replace(BaselineParameters(), **wrong))


def test_the_refusal_of_an_unknown_method_lists_the_existing_ones() -> None:
    with pytest.raises(UnknownBaselineMethod, match="caiso-10-in-10, high-4-of-5"):
        rule_named("best-guess")


def test_a_recorded_baseline_is_read_back_unchanged() -> None:
    found = baseline(usual_and_today(1_800, 600, 630))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Baseline) == found
    assert set(METHODS) >= {"caiso-10-in-10", "x-of-y", "firm-service-level"}


def test_the_expected_error_is_that_of_the_rule_on_the_days_without_a_dr_event() -> None:
    """Ten per cent too low on each of them, because the load of the window's hours rises by the day."""

    def load(at: datetime) -> float:
        return 100.0 if at.hour < 14 else 110.0

    series = metered(load, first=EVENT_DAY - timedelta(days=46), last=EVENT_DAY, tz=NEW_YORK)
    window = local_window(EVENT_DAY, 14, 16, NEW_YORK)
    found = expected_error(rule_named("meter-before-meter-after"), series, window, tz=NEW_YORK)
    assert found is not None
    assert found.days == 10
    assert found.bias == pytest.approx(-10 / 110)
    assert found.cvrmse == pytest.approx(10 / 110)


def test_the_expected_error_leaves_out_dr_event_days_holidays_and_the_day_itself() -> None:
    served, holiday = EVENT_DAY - timedelta(days=1), EVENT_DAY - timedelta(days=4)

    def load(at: datetime) -> float:
        return 20.0 if at.date() in {served, holiday, EVENT_DAY} and at.hour >= 14 else 100.0

    series = metered(load, first=EVENT_DAY - timedelta(days=46), last=EVENT_DAY, tz=NEW_YORK)
    window = local_window(EVENT_DAY, 14, 16, NEW_YORK)
    found = expected_error(
        rule_named("caiso-10-in-10"), series, window, tz=NEW_YORK, dr_event_days={served}, holidays={holiday}
    )
    assert found == ExpectedError(bias=0.0, cvrmse=0.0, days=10)


def test_fewer_days_are_said_and_none_is_no_error_of_zero() -> None:
    def load(at: datetime) -> float:
        return 100.0 + at.day

    window = local_window(EVENT_DAY, 14, 16, NEW_YORK)
    rule = rule_named("caiso-10-in-10")
    short = metered(load, first=EVENT_DAY - timedelta(days=18), last=EVENT_DAY, tz=NEW_YORK)
    found = expected_error(rule, short, window, tz=NEW_YORK)
    assert found is not None
    assert found.days == 2
    shorter = metered(load, first=EVENT_DAY - timedelta(days=10), last=EVENT_DAY, tz=NEW_YORK)
    assert expected_error(rule, shorter, window, tz=NEW_YORK) is None


def test_a_contracted_level_has_no_expected_error() -> None:
    series = metered(lambda _: 100.0, first=EVENT_DAY - timedelta(days=46), last=EVENT_DAY, tz=NEW_YORK)
    rule = rule_named("firm-service-level", BaselineParameters(level_kw=50))
    assert expected_error(rule, series, local_window(EVENT_DAY, 14, 16, NEW_YORK), tz=NEW_YORK) is None
