"""Forecast cycles on a real PostgreSQL: forecasts from history, their quality, and alerts."""

import asyncio
from datetime import timedelta

import numpy as np
import pytest

from application.forecast.forecast_commands import ForecastSite
from domain.forecast import Forecast
from tests.integration.forecast.forecast_setup import ALL, CYCLE_START, NOW, SITES, ForecastSetup


def test_every_facility_with_history_gets_a_full_forecast_of_the_day_ahead(
    forecast_setup: ForecastSetup,
) -> None:
    forecast_setup.import_history(ALL, 42)
    report = forecast_setup.run()
    assert report.issued == ALL
    assert (report.degraded, report.refused, report.conflicts) == ({}, {}, [])
    forecasts = forecast_setup.book.newest_of(ALL, at=NOW)
    for facility_id in ALL:
        found = forecasts[facility_id]
        assert (found.data_quality, found.cycle_start) == ("full", CYCLE_START)
        assert found.steps[-1].ends_at == CYCLE_START + timedelta(hours=24)
        evening = [step.p50_kw for step in found.steps if 15 <= step.starts_at.hour < 24]
        night = [step.p50_kw for step in found.steps if step.starts_at.hour < 14]
        assert np.mean(evening) == pytest.approx(200, abs=15)
        assert np.mean(night) == pytest.approx(100, abs=15)
    assert forecast_setup.open_alerts() == set()


def test_a_forecast_records_its_provenance(forecast_setup: ForecastSetup) -> None:
    forecast_setup.import_history(ALL[:1], 42)
    forecast_setup.sites = SITES[:1]
    forecast_setup.run()
    (entry,) = forecast_setup.events.read_after(0, 10)
    fact = entry.domain_event
    assert isinstance(fact, Forecast.Issued)
    assert entry.topic == "forecast.issued.v2"
    assert (fact.actor, fact.tenant) == ("worker:compute", None)
    assert fact.inputs.newest_reading_at == CYCLE_START
    assert (fact.inputs.sensor_coverage_pct, fact.inputs.weather_age_s) == (100.0, 30.0)
    assert (fact.model.name, fact.model.trained_at) == ("time-of-week-and-temperature", CYCLE_START)
    assert len(fact.inputs.input_hash) == 64


def test_without_any_telemetry_no_forecast_is_issued(forecast_setup: ForecastSetup) -> None:
    forecast_setup.import_history(ALL[:2], 42)
    report = forecast_setup.run()
    assert report.issued == ALL[:2]
    assert "nothing was ever metered at fac-003" in report.refused["fac-003"]
    assert forecast_setup.book.newest("fac-003", at=NOW) is None
    assert forecast_setup.open_alerts() == set()


def test_less_than_a_day_of_history_is_refused_with_the_available_hours(
    forecast_setup: ForecastSetup,
) -> None:
    forecast_setup.import_history(ALL, 42)
    forecast_setup.sites = [ForecastSite(facility_id="new", tz="UTC", weather_cell="cell-1"), *SITES]
    forecast_setup.import_history(["new"], 0.5)
    report = forecast_setup.run()
    assert "12 hours of load are known of new" in report.refused["new"]
    assert report.issued == ALL


def test_an_untrainable_facility_is_reported_in_every_cycle_but_not_retried_in_each(
    forecast_setup: ForecastSetup,
) -> None:
    forecast_setup.import_history(ALL[:1], 0.5)
    cycle = forecast_setup.cycle()
    first = forecast_setup.run(cycle)
    assert "12 hours of load are known of fac-001" in first.refused["fac-001"]
    forecast_setup.import_history(ALL[:1], 2)
    for minutes in (15, 45):
        forecast_setup.stopped.moment = NOW + timedelta(minutes=minutes)
        again = forecast_setup.run(cycle)
        assert (set(again.refused), again.waiting) == (set(ALL), [])
        assert f"{first.refused['fac-001']} (as of {CYCLE_START.isoformat()}" in again.refused["fac-001"]
        assert again.refused["fac-003"] == first.refused["fac-003"]
    forecast_setup.stopped.moment = NOW + timedelta(hours=1)
    assert forecast_setup.run(cycle).issued == ALL[:1]


def test_a_facility_that_cannot_be_computed_does_not_affect_other_forecasts(
    forecast_setup: ForecastSetup,
) -> None:
    forecast_setup.import_history(ALL, 2)
    forecast_setup.sites = [
        ForecastSite(facility_id="fac-001", tz="Mars/Olympus", weather_cell="cell-1"),
        *SITES[1:],
    ]
    report = forecast_setup.run()
    assert report.issued == ALL[1:]
    assert "Mars/Olympus" in report.refused["fac-001"]


def test_the_last_weather_is_used_until_it_is_stale(forecast_setup: ForecastSetup) -> None:
    forecast_setup.import_history(ALL, 42)
    cycle = forecast_setup.cycle()
    forecast_setup.run(cycle)
    forecast_setup.weather.available = False
    forecast_setup.stopped.moment = NOW + timedelta(hours=4)
    forecast_setup.import_history(ALL, 1, until=CYCLE_START + timedelta(hours=4))
    report = forecast_setup.run(cycle)
    assert set(report.degraded.values()) == {"degraded_stale_weather"}
    assert ("weather_unavailable", "cell-1") in forecast_setup.open_alerts()


def test_without_a_weather_service_an_alert_says_what_is_missing_and_what_follows(
    forecast_setup: ForecastSetup,
) -> None:
    forecast_setup.import_history(ALL, 42)
    forecast_setup.has_weather = False
    assert set(forecast_setup.run().degraded.values()) == {"degraded_no_weather"}
    (alert,) = forecast_setup.alerts.listed()
    assert (alert.name, alert.subject) == ("weather_unavailable", "weather service")
    assert "every forecast is degraded; programs with guardrail block will not dispatch" in alert.detail
    assert "GRIDPROOF_WEATHER_URL" in alert.detail
    forecast_setup.has_weather = True
    forecast_setup.run()
    assert forecast_setup.open_alerts() == set()


def test_a_forecast_without_recent_readings_is_marked_as_stale(forecast_setup: ForecastSetup) -> None:
    forecast_setup.import_history(ALL, 42, until=CYCLE_START - timedelta(minutes=45))
    assert set(forecast_setup.run().degraded.values()) == {"degraded_stale_data"}


def test_a_forecast_with_gaps_in_the_last_day_is_marked_as_stale(forecast_setup: ForecastSetup) -> None:
    forecast_setup.import_history(ALL, 41, until=CYCLE_START - timedelta(days=1))
    forecast_setup.import_history(ALL, 0.25)
    assert set(forecast_setup.run().degraded.values()) == {"degraded_stale_data"}


def test_only_the_requested_facilities_are_forecast(forecast_setup: ForecastSetup) -> None:
    forecast_setup.import_history(ALL, 42)
    report = asyncio.run(forecast_setup.cycle().run(at=NOW, only={"fac-002"}))
    assert report.issued == ["fac-002"]
