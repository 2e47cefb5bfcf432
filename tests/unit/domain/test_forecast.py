"""The rules of forecasts: data quality, reissue, and staleness at the time of use."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.event_sourcing.aggregate import Provenance
from domain.forecast import (
    BEST_FIRST,
    DataQuality,
    Forecast,
    ForecastConflict,
    ForecastInputs,
    ForecastModel,
    InvalidForecast,
    QuantileSteps,
    blocks,
    cycle_start_of,
    data_quality,
    quality_at,
)

CYCLE_START = datetime(2026, 7, 14, 20, 0, tzinfo=UTC)
PROVENANCE = Provenance(
    correlation_id=UUID(int=1),
    causation_id=UUID(int=2),
    actor="worker:compute",
    tenant=None,
    trace_id="0" * 32,
    recorded_at=CYCLE_START + timedelta(seconds=20),
)
MODEL = ForecastModel(name="time-of-day", version="1", trained_at=CYCLE_START)


def inputs(input_hash: str = "a", **changed: object) -> ForecastInputs:
    good = ForecastInputs(
        input_hash=input_hash,
        newest_reading_at=CYCLE_START - timedelta(minutes=1),
        sensor_coverage_pct=99.0,
        weather_available=True,
        weather_age_s=600.0,
    )
    return replace(good, **changed)


def steps(kw: float = 100.0, count: int = 96, **changed: object) -> QuantileSteps:
    even = QuantileSteps(
        starts_at=CYCLE_START,
        step_s=900,
        p10_kw=(kw - 10,) * count,
        p50_kw=(kw,) * count,
        p90_kw=(kw + 10,) * count,
    )
    return replace(even, **changed)


def issued(given_inputs: ForecastInputs | None = None) -> Forecast:
    forecast = Forecast.issue(
        PROVENANCE,
        facility_id="fac-001",
        cycle_start=CYCLE_START,
        inputs=given_inputs or inputs(),
        model=MODEL,
        steps=steps(),
    )
    forecast.collect_events()
    return forecast


@pytest.mark.parametrize(
    ("age_min", "coverage_pct", "available", "weather_age_h", "expected"),
    [
        (0, 100.0, True, 0.0, "full"),
        (30, 90.0, True, 3.0, "full"),
        (31, 100.0, True, 0.0, "degraded_stale_data"),
        (0, 89.9, True, 0.0, "degraded_stale_data"),
        (0, 100.0, True, 3.01, "degraded_stale_weather"),
        (0, 100.0, True, None, "degraded_stale_weather"),
        (0, 100.0, False, None, "degraded_no_weather"),
        (31, 100.0, True, 3.01, "degraded_stale_data"),
        (31, 100.0, False, None, "degraded_no_weather_and_stale_data"),
        (0, 89.9, False, None, "degraded_no_weather_and_stale_data"),
    ],
)
def test_data_quality_follows_the_table(
    age_min: float, coverage_pct: float, available: bool, weather_age_h: float | None, expected: str
) -> None:
    found = data_quality(
        at=CYCLE_START,
        newest_reading_at=CYCLE_START - timedelta(minutes=age_min),
        sensor_coverage_pct=coverage_pct,
        weather_available=available,
        weather_age_s=None if weather_age_h is None else weather_age_h * 3600,
    )
    assert found == expected


@given(
    age_s=st.integers(0, 7200),
    coverage_pct=st.floats(0, 100),
    available=st.booleans(),
    weather_age_s=st.one_of(st.none(), st.floats(0, 86_400)),
)
def test_better_inputs_never_give_a_worse_quality(
    age_s: int, coverage_pct: float, available: bool, weather_age_s: float | None
) -> None:
    def rank(**given_facts: object) -> int:
        facts: dict[str, object] = {
            "at": CYCLE_START,
            "newest_reading_at": CYCLE_START - timedelta(seconds=age_s),
            "sensor_coverage_pct": coverage_pct,
            "weather_available": available,
            "weather_age_s": weather_age_s,
        }
        return BEST_FIRST.index(data_quality(**(facts | given_facts)))  # type: ignore[arg-type]

    assert rank(newest_reading_at=CYCLE_START) <= rank()
    assert rank(sensor_coverage_pct=100.0) <= rank()
    assert rank(weather_available=True, weather_age_s=0.0) <= rank()


def test_a_forecast_older_than_two_cycles_is_stale_at_any_quality() -> None:
    assert quality_at("full", CYCLE_START, CYCLE_START + timedelta(minutes=30)) == "full"
    late = CYCLE_START + timedelta(minutes=30, seconds=1)
    assert {quality_at(quality, CYCLE_START, late) for quality in BEST_FIRST} == {"degraded_stale_data"}


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_cycle_starts_on_the_quarter_hour_before(moment: datetime) -> None:
    start = cycle_start_of(moment)
    assert start <= moment < start + timedelta(minutes=15)
    assert (start.minute % 15, start.second, start.microsecond) == (0, 0, 0)


def test_an_issued_forecast_states_its_quality_and_its_inputs() -> None:
    forecast = Forecast.issue(
        PROVENANCE,
        facility_id="fac-001",
        cycle_start=CYCLE_START,
        inputs=inputs(weather_available=False, weather_age_s=None),
        model=MODEL,
        steps=steps(),
    )
    (fact,) = forecast.collect_events()
    assert isinstance(fact, Forecast.Issued)
    assert fact.data_quality == "degraded_no_weather"
    assert fact.actor == "worker:compute"
    assert forecast.state.issued_at == PROVENANCE.recorded_at
    assert forecast.state.steps.ends_at == CYCLE_START + timedelta(hours=24)


def test_unchanged_inputs_record_nothing() -> None:
    forecast = issued()
    forecast.reissue(PROVENANCE, inputs=inputs(), model=MODEL, steps=steps(kw=50.0))
    assert not forecast.collect_events()


WITH_QUALITY = {
    "full": inputs("b"),
    "degraded_stale_weather": inputs("b", weather_age_s=4 * 3600.0),
    "degraded_no_weather": inputs("b", weather_available=False, weather_age_s=None),
    "degraded_stale_data": inputs("b", sensor_coverage_pct=50.0),
    "degraded_no_weather_and_stale_data": inputs(
        "b", sensor_coverage_pct=50.0, weather_available=False, weather_age_s=None
    ),
}


@pytest.mark.parametrize(("known", "offered"), list(product(BEST_FIRST, BEST_FIRST)))
def test_other_inputs_replace_a_forecast_only_if_the_quality_is_better(known: str, offered: str) -> None:
    forecast = issued(replace(WITH_QUALITY[known], input_hash="a"))
    first_id = forecast.state.forecast_id

    def offer() -> None:
        forecast.reissue(PROVENANCE, inputs=WITH_QUALITY[offered], model=MODEL, steps=steps(kw=50.0))

    if BEST_FIRST.index(offered) < BEST_FIRST.index(known):
        offer()
        (fact,) = forecast.collect_events()
        assert isinstance(fact, Forecast.Reissued)
        assert forecast.state.forecast_id != first_id
        assert forecast.state.data_quality == offered
        assert forecast.state.steps.p50_kw[0] == 50.0
    else:
        with pytest.raises(ForecastConflict, match="wait for the next cycle"):
            offer()
        assert not forecast.collect_events()


@pytest.mark.parametrize(
    "wrong",
    [
        steps(count=95),
        steps(step_s=3600),
        steps(starts_at=CYCLE_START + timedelta(minutes=15)),
        steps(p10_kw=(120.0,) * 96),
        steps(p90_kw=(float("nan"),) * 96),
        steps(p90_kw=(110.0,) * 95),
    ],
    ids=["short", "hourly", "late", "crossed", "nan", "uneven"],
)
def test_invalid_forecast_steps_are_refused(wrong: QuantileSteps) -> None:
    with pytest.raises(InvalidForecast):
        Forecast.issue(
            PROVENANCE,
            facility_id="fac-001",
            cycle_start=CYCLE_START,
            inputs=inputs(),
            model=MODEL,
            steps=wrong,
        )


def test_a_cycle_off_the_quarter_hour_is_refused() -> None:
    start = CYCLE_START + timedelta(minutes=7)
    with pytest.raises(InvalidForecast, match="quarter-hour"):
        Forecast.issue(
            PROVENANCE,
            facility_id="fac-001",
            cycle_start=start,
            inputs=inputs(),
            model=MODEL,
            steps=steps(starts_at=start),
        )


@pytest.mark.parametrize("quality", BEST_FIRST)
def test_a_guardrail_that_blocks_takes_full_forecasts_only(quality: DataQuality) -> None:
    assert blocks(quality, "block", as_accurate_without_weather=True) is (quality != "full")


@pytest.mark.parametrize("quality", BEST_FIRST)
def test_a_guardrail_that_warns_blocks_nothing(quality: DataQuality) -> None:
    assert not blocks(quality, "warn")


@pytest.mark.parametrize("quality", BEST_FIRST)
def test_no_weather_is_accepted_only_where_it_is_as_accurate(quality: DataQuality) -> None:
    accepted = {"full", "degraded_no_weather"}
    assert blocks(quality, "accept_no_weather", as_accurate_without_weather=True) is (quality not in accepted)
    assert blocks(quality, "accept_no_weather") is (quality != "full")
