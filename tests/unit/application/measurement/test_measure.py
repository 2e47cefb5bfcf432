"""Measurements against numbers computed by hand: ten days of 1,800 kW, 600 against 630 before the start."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from application.commands.dispatch import RecordMeasurement, RecordNotMeasurable
from application.measurement.agreed_baseline import AgreedBaseline
from application.measurement.basis import LOOK_BACK_DAYS, MeasuringBasis, basis_of
from application.measurement.measure import (
    is_ready,
    measured_window,
    measurement_of,
    readings_window,
    verification_of,
)
from domain.baseline import BaselineParameters
from domain.dispatch import DispatchState, MeasurementFigures
from domain.facility import BmsLink, Enrolment, FacilityState
from domain.time_series.windows import IntervalSeries, TimeWindow
from tests.fakes.public_holidays import FakePublicHolidays

TZ = ZoneInfo("America/Los_Angeles")
STARTS_AT = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)  # a Tuesday, 14:00 local
ENDS_AT = STARTS_AT + timedelta(hours=2)
QUARTER = timedelta(minutes=15)
DR_EVENT = UUID(int=7)
DISPATCH = DispatchState(
    dr_event_id=DR_EVENT,
    facility_id="fac-001",
    plan_revision=1,
    starts_at=STARTS_AT,
    ends_at=ENDS_AT,
    expires_at=ENDS_AT + timedelta(minutes=30),
    target_kw=400.0,
    bms=BmsLink(address="http://bms", profile="two_phase"),
    zones={},
    status="committed",
    was_committed=True,
)
CALENDAR = FakePublicHolidays()
BASIS = MeasuringBasis(baseline_method="caiso-10-in-10", tz=TZ, dr_event_days=frozenset())
AFTER = ENDS_AT + timedelta(minutes=2)
LATE = ENDS_AT + timedelta(minutes=30)


def usual_kw(local: datetime) -> float:
    """1,800 kW in the hours of the DR event and 600 before, on every day except that of the event."""
    on_the_day = local.date() == date(2026, 7, 14)
    if 14 <= local.hour < 16:
        return 1_500.0 if on_the_day else 1_800.0
    return 630.0 if on_the_day else 600.0


def metered(kw: Callable[[datetime], float] = usual_kw, until: datetime = ENDS_AT) -> IntervalSeries:
    window = readings_window(TimeWindow(STARTS_AT, until), LOOK_BACK_DAYS)
    count = round(window.duration_s / 900)
    values = [kw((window.starts_at + QUARTER * i).astimezone(TZ)) for i in range(count)]
    return IntervalSeries(window.starts_at, 900, np.array(values))


def without(series: IntervalSeries, *starts: datetime) -> IntervalSeries:
    values = series.values.copy()
    for start in starts:
        values[round((start - series.starts_at) / QUARTER)] = np.nan
    return IntervalSeries(series.starts_at, 900, values)


def with_kw(series: IntervalSeries, start: datetime, kw: float) -> IntervalSeries:
    values = series.values.copy()
    values[round((start - series.starts_at) / QUARTER)] = kw
    return IntervalSeries(series.starts_at, 900, values)


def measured(series: IntervalSeries, now: datetime = AFTER, **changed: object) -> MeasurementFigures:
    found = measurement_of(replace(DISPATCH, **changed), series, BASIS, now=now)
    assert isinstance(found, RecordMeasurement), found
    return found.figures


def test_the_delivery_is_the_adjusted_baseline_minus_the_meter() -> None:
    found = measured(metered())
    assert found.adjustment.value == pytest.approx(1.05)
    assert (found.adjustment.kind, found.adjustment.clipped) == ("multiplicative", False)
    assert found.delivered_kw == pytest.approx(1_890.0 - 1_500.0)
    assert found.coverage_pct == 100.0
    assert len(found.intervals) == 8
    first = found.intervals[0]
    assert (first.starts_at, first.baseline_kw, first.metered_kw) == (STARTS_AT, 1_800.0, 1_500.0)
    assert first.adjusted_kw == pytest.approx(1_890.0)
    assert found.days_used == (
        "2026-07-13",
        "2026-07-10",
        "2026-07-09",
        "2026-07-08",
        "2026-07-07",
        "2026-07-06",
        "2026-07-03",
        "2026-07-02",
        "2026-07-01",
        "2026-06-30",
    )


def test_the_adjustment_is_clipped_and_flagged() -> None:
    found = measured(metered(lambda local: usual_kw(local) * (5 if usual_kw(local) == 630.0 else 1)))
    assert found.adjustment.value == pytest.approx(1.2)
    assert found.adjustment.clipped
    assert found.delivered_kw == pytest.approx(1_800 * 1.2 - 1_500)


def test_halving_the_shed_halves_the_delivery() -> None:
    half = measured(metered(lambda local: 1_695.0 if usual_kw(local) == 1_500.0 else usual_kw(local)))
    assert half.delivered_kw == pytest.approx(measured(metered()).delivered_kw / 2)


def test_days_of_other_dr_events_are_not_candidates() -> None:
    facility = FacilityState(
        facility_id="fac-001",
        tz="America/Los_Angeles",
        latitude=34.0,
        longitude=-118.0,
        weather_cell="cell-1",
        served={
            str(UUID(int=1)): datetime(2026, 7, 11, 0, 30, tzinfo=UTC),  # the afternoon of July 10 there
            str(DR_EVENT): STARTS_AT,
        },
    )
    basis = basis_of(facility, AgreedBaseline(method="caiso-10-in-10"), DISPATCH, CALENDAR)
    assert basis.dr_event_days == {date(2026, 7, 10)}
    found = measurement_of(DISPATCH, metered(), basis, now=AFTER)
    assert isinstance(found, RecordMeasurement)
    assert "2026-07-10" not in found.figures.days_used
    assert "2026-06-29" in found.figures.days_used
    assert found.figures.dr_event_days == (date(2026, 7, 10),)


@pytest.mark.parametrize(("own_kw", "level_kw"), [("1400.5", 1400.5), (None, 1450.0)])
def test_a_facilitys_own_firm_level_goes_before_that_of_the_program(
    own_kw: str | None, level_kw: float
) -> None:
    facility = FacilityState(
        facility_id="fac-001",
        tz="America/Los_Angeles",
        latitude=None,
        longitude=None,
        weather_cell="cell-1",
        enrolments={"other": Enrolment(level_kw="9"), "base-interruptible": Enrolment(level_kw=own_kw)},
    )
    agreed = AgreedBaseline(
        program_id="base-interruptible",
        method="firm-service-level",
        parameters=BaselineParameters(level_kw=1_450.0),
    )
    found = measurement_of(DISPATCH, metered(), basis_of(facility, agreed, DISPATCH, CALENDAR), now=AFTER)
    assert isinstance(found, RecordMeasurement)
    assert {interval.baseline_kw for interval in found.figures.intervals} == {level_kw}


def facility(**changes: object) -> FacilityState:
    values = {"tz": "America/Los_Angeles", "region": "US-CA", **changes}
    return FacilityState(
        facility_id="fac-001",
        latitude=None,
        longitude=None,
        weather_cell="cell-1",
        **values,  # type: ignore[arg-type]
    )


def figures_by(agreed: AgreedBaseline, of: FacilityState, **changed: object) -> MeasurementFigures:
    dispatch = replace(DISPATCH, **changed)
    found = measurement_of(dispatch, metered(), basis_of(of, agreed, dispatch, CALENDAR), now=LATE)
    assert isinstance(found, RecordMeasurement), found
    return found.figures


CAISO = AgreedBaseline(method="caiso-10-in-10")


def test_the_public_holidays_of_the_facilitys_region_are_no_candidates() -> None:
    found = figures_by(CAISO, facility(region="DE"))
    assert (found.holidays, found.holidays_of) == ((), "DE")
    weekend = replace(DISPATCH, starts_at=STARTS_AT - timedelta(days=2), ends_at=ENDS_AT - timedelta(days=2))
    found = figures_by(CAISO, facility(), starts_at=weekend.starts_at, ends_at=weekend.ends_at)
    assert (found.holidays, found.holidays_of) == ((date(2026, 7, 4),), "US-CA")
    assert (date(2026, 7, 4), "holiday") in [(one.day, one.why) for one in found.skipped]
    assert "2026-07-04" not in found.days_used


def test_the_holidays_of_the_program_go_before_those_of_the_region() -> None:
    agreed = replace(CAISO, holidays=frozenset({date(2026, 7, 10), date(2027, 1, 1)}))
    found = figures_by(agreed, facility())
    assert (found.holidays, found.holidays_of) == ((date(2026, 7, 10),), "program")
    assert "2026-07-10" not in found.days_used
    none = figures_by(replace(CAISO, holidays=frozenset()), facility())
    assert (none.holidays, none.holidays_of) == ((), "program")


def test_a_holiday_is_measured_like_a_weekend_day() -> None:
    agreed = replace(CAISO, holidays=frozenset({date(2026, 7, 14)}))
    days = figures_by(agreed, facility()).days_used
    assert days == ("2026-07-12", "2026-07-11", "2026-07-05", "2026-07-04")


def test_a_zone_of_no_country_has_no_holidays() -> None:
    found = figures_by(CAISO, facility(tz="UTC", region=None))
    assert (found.holidays, found.holidays_of) == ((), "none")


def test_a_dr_event_over_midnight_makes_both_local_days_event_days() -> None:
    starts_at = datetime(2026, 7, 10, 6, 0, tzinfo=UTC)  # 23:00 of July 9 there
    served = facility(
        served={str(UUID(int=1)): starts_at}, served_until={str(UUID(int=1)): starts_at + timedelta(hours=2)}
    )
    assert figures_by(CAISO, served).dr_event_days == (date(2026, 7, 9), date(2026, 7, 10))
    until_midnight = replace(served, served_until={str(UUID(int=1)): starts_at + timedelta(hours=1)})
    assert figures_by(CAISO, until_midnight).dr_event_days == (date(2026, 7, 9),)


def test_everything_that_the_number_came_from_is_recorded() -> None:
    series = without(metered(), STARTS_AT - timedelta(days=7))
    found = measured(series)
    assert (found.tz, found.starts_at, found.ends_at) == ("America/Los_Angeles", STARTS_AT, ENDS_AT)
    assert found.parameters == BaselineParameters()
    first = found.days[0]
    assert (first.day, first.use, first.mean_kw) == ("2026-07-13", "used", 1_800.0)
    assert (first.window_kw, first.adjustment_kw) == ((1_800.0,) * 8, (600.0,) * 12)
    assert [(one.day, one.why) for one in found.skipped] == [(date(2026, 7, 7), "missing_interval")]
    adjustment = found.adjustment
    assert (adjustment.baseline_kw, adjustment.metered_kw) == (600.0, 630.0)
    assert (adjustment.raw, adjustment.value, adjustment.clipped) == (1.05, 1.05, False)
    assert adjustment.values_kw == (630.0,) * 12
    assert adjustment.starts_at == STARTS_AT - timedelta(hours=4)
    assert adjustment.ends_at == STARTS_AT - timedelta(hours=1)


def test_a_missing_interval_of_other_hours_skips_no_day() -> None:
    yesterday = STARTS_AT - timedelta(days=1)
    other = without(metered(), yesterday - timedelta(hours=6), yesterday - timedelta(minutes=15))
    assert "2026-07-13" in measured(other).days_used
    hour_of_the_adjustment = without(metered(), yesterday - timedelta(hours=2))
    assert "2026-07-13" not in measured(hour_of_the_adjustment).days_used


def test_delivery_below_zero_counts_as_zero_where_the_program_says_so() -> None:
    agreed = replace(CAISO, clip_delivery=True)
    more = metered(
        lambda local: 2_500.0 if usual_kw(local) == 1_500.0 and local.hour == 14 else usual_kw(local)
    )
    basis = basis_of(facility(), agreed, DISPATCH, CALENDAR)
    found = measurement_of(DISPATCH, more, basis, now=AFTER)
    assert isinstance(found, RecordMeasurement)
    assert [i.delivered_kw for i in found.figures.intervals[:4]] == [0.0] * 4
    assert found.figures.delivered_kw == pytest.approx(195.0)
    assert measured(more).delivered_kw < 0


@pytest.mark.parametrize(
    ("day", "skipped"),
    [(date(2026, 3, 8), "time_does_not_exist"), (date(2026, 11, 1), None)],
    ids=["23 hours", "25 hours"],
)
def test_days_of_23_and_25_hours_count_by_the_wall_clock(day: date, skipped: str | None) -> None:
    """Sundays. The first has no 02:00 to 03:00; of the second, which has 01:00 to 02:00 twice, the first counts."""
    starts_at = datetime.combine(day + timedelta(days=7), time(2 if skipped else 1), TZ).astimezone(UTC)
    dispatch = replace(
        DISPATCH, starts_at=starts_at, ends_at=starts_at + timedelta(hours=1), expires_at=starts_at
    )
    window = readings_window(TimeWindow(dispatch.starts_at, dispatch.ends_at), 45)
    count = round(window.duration_s / 900)
    starts = [window.starts_at + QUARTER * i for i in range(count)]
    values = [100.0 + 50.0 * at.astimezone(TZ).hour + 7.0 * at.astimezone(TZ).fold for at in starts]
    basis = replace(
        BASIS, baseline_method="x-of-y", parameters=BaselineParameters(x=2, y=2, adjustment="none")
    )
    series = IntervalSeries(window.starts_at, 900, np.array(values))
    found = measurement_of(dispatch, series, basis, now=dispatch.ends_at + timedelta(hours=1))
    assert isinstance(found, RecordMeasurement), found
    why = {one.day: one.why for one in found.figures.skipped}
    assert why.get(day) == skipped
    assert (day.isoformat() in found.figures.days_used) is (skipped is None)
    assert {i.baseline_kw for i in found.figures.intervals} == {200.0 if skipped else 150.0}


@pytest.mark.parametrize("before", [timedelta(hours=25), timedelta(hours=-1)])
def test_a_window_of_the_adjustment_beyond_what_is_read_is_refused(before: timedelta) -> None:
    seconds = int(before.total_seconds())
    basis = replace(BASIS, baseline_method="x-of-y", parameters=BaselineParameters(adjustment_from_s=seconds))
    found = measurement_of(DISPATCH, metered(), basis, now=AFTER)
    assert isinstance(found, RecordNotMeasurable)
    assert "the adjustment window must" in found.reason


def test_a_later_measurement_keeps_the_firm_level_that_was_agreed_at_the_first() -> None:
    agreed = AgreedBaseline(program_id="base-interruptible", method="firm-service-level")
    now = facility(enrolments={"base-interruptible": Enrolment(level_kw="900")})
    first = BaselineParameters(level_kw=1_400.0)
    dispatch = replace(DISPATCH, measured=True, baseline_parameters=first)
    basis = basis_of(now, agreed, dispatch, CALENDAR)
    assert basis.parameters == first
    assert basis_of(now, agreed, DISPATCH, CALENDAR).parameters.level_kw == 900.0
    assert measured(metered()).parameters == BaselineParameters()


def test_missing_readings_delay_the_measurement_and_are_then_stated() -> None:
    gap = without(metered(), STARTS_AT + QUARTER, STARTS_AT + QUARTER * 2)
    assert measurement_of(DISPATCH, gap, BASIS, now=LATE - timedelta(seconds=1)) is None
    found = measured(gap, now=LATE)
    assert found.coverage_pct == 75.0
    assert found.delivered_kw == pytest.approx(390.0)
    assert found.intervals[1].metered_kw is None
    assert found.intervals[1].delivered_kw is None


def test_a_window_without_any_reading_is_not_measurable() -> None:
    nothing = without(metered(), *(STARTS_AT + QUARTER * i for i in range(8)))
    assert measurement_of(DISPATCH, nothing, BASIS, now=AFTER) is None
    found = measurement_of(DISPATCH, nothing, BASIS, now=LATE)
    assert isinstance(found, RecordNotMeasurable)
    assert "none of the 8 quarter-hours" in found.reason


def test_too_few_days_are_not_measurable_with_the_count() -> None:
    young = metered(lambda local: np.nan if local.date() < date(2026, 7, 6) else usual_kw(local))
    found = measurement_of(DISPATCH, young, BASIS, now=AFTER)
    assert isinstance(found, RecordNotMeasurable)
    assert "only 6 of 10 baseline days" in found.reason


def test_an_unknown_method_is_not_measurable_with_the_reason() -> None:
    found = measurement_of(DISPATCH, metered(), replace(BASIS, baseline_method="magic"), now=AFTER)
    assert isinstance(found, RecordNotMeasurable)
    assert "magic" in found.reason


def test_a_window_off_the_quarter_hours_is_measured_inside_with_its_measured_share() -> None:
    starts_at, ends_at = STARTS_AT + timedelta(minutes=5), ENDS_AT - timedelta(minutes=5)
    found = measured(metered(), starts_at=starts_at, ends_at=ends_at)
    assert len(found.intervals) == 6
    assert found.intervals[0].starts_at == STARTS_AT + QUARTER
    assert found.coverage_pct == pytest.approx(100 * 90 / 110, abs=0.001)


def test_a_window_between_two_quarter_hours_is_not_measurable() -> None:
    starts_at = STARTS_AT + timedelta(minutes=5)
    short = replace(DISPATCH, starts_at=starts_at, ends_at=starts_at + timedelta(minutes=20))
    found = measurement_of(short, metered(), BASIS, now=AFTER)
    assert isinstance(found, RecordNotMeasurable)
    assert "no whole quarter-hour" in found.reason


@given(st.datetimes(timezones=st.just(UTC)), st.integers(0, 86_400))
def test_the_measured_window_is_the_largest_on_quarter_hours_inside(start: datetime, length_s: int) -> None:
    if start.year < 2 or start.year > 9000:
        return
    end = start + timedelta(seconds=length_s)
    found = measured_window(start, end)
    if found is None:
        assert length_s < 1_800
    else:
        assert start <= found.starts_at < start + QUARTER
        assert end - QUARTER < found.ends_at <= end
        assert found.duration_s % 900 == 0


def test_a_measurement_is_ready_after_readings_past_the_end_or_after_the_wait() -> None:
    assert not is_ready(AFTER, ENDS_AT, None)
    assert not is_ready(AFTER, ENDS_AT, ENDS_AT - timedelta(seconds=1))
    assert is_ready(AFTER, ENDS_AT, ENDS_AT)
    assert is_ready(LATE, ENDS_AT, None)


def test_the_digest_is_of_the_readings_that_were_used() -> None:
    same = measured(metered())
    assert same.data_hash == measured(metered()).data_hash
    used = STARTS_AT - timedelta(days=1, hours=2)  # the adjustment's hours of the day before
    other = STARTS_AT - timedelta(hours=12)
    assert measured(with_kw(metered(), used, 601.0)).data_hash != same.data_hash
    assert measured(with_kw(metered(), other, 601.0)).data_hash == same.data_hash


def test_the_digest_does_not_depend_on_the_range_that_was_read() -> None:
    whole = metered()
    longer = IntervalSeries(
        whole.starts_at - QUARTER * 7, 900, np.array([1.0] * 7 + whole.values.tolist() + [2.0] * 3)
    )
    assert measured(longer).data_hash == measured(whole).data_hash


def test_the_meter_confirms_a_curtailment_of_at_least_half_the_target() -> None:
    until = STARTS_AT + QUARTER
    found = verification_of(DISPATCH, metered(until=until), BASIS, until=until + timedelta(minutes=3))
    assert found is not None
    assert found.delivered_kw == pytest.approx(390.0)
    assert found.measured_at == until
    asked_more = replace(DISPATCH, target_kw=781.0)
    assert verification_of(asked_more, metered(until=until), BASIS, until=until) is None


def test_the_meter_verifies_nothing_before_a_whole_quarter_hour_or_with_gaps() -> None:
    early = STARTS_AT + timedelta(minutes=14)
    assert verification_of(DISPATCH, metered(), BASIS, until=early) is None
    until = STARTS_AT + QUARTER
    assert verification_of(DISPATCH, without(metered(), STARTS_AT), BASIS, until=until) is None
    done = replace(DISPATCH, status="restored")
    assert verification_of(done, metered(), BASIS, until=until) is None
