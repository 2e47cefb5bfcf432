"""The utility asks once the forecasts are of full quality: others would block their dispatches."""

import time
from datetime import timedelta
from typing import cast

import pytest

from interfaces.demo import scenario
from interfaces.demo.api import ApiClient
from interfaces.demo.facility_roles import assign_roles
from interfaces.demo.scenario import DemoFailed, Scenario
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.issued_forecasts import CYCLE_START, issued_forecast

ROLES = assign_roles([f"fac-{number}" for number in range(5)])


def noted(forecasts: FakeForecastBook, *, full: bool) -> FakeForecastBook:
    for facility_id in ROLES.requested:
        forecasts.note(issued_forecast(facility_id, CYCLE_START, 100.0, full=full))
    return forecasts


def reported(forecasts: FakeForecastBook) -> list[str]:
    messages: list[str] = []
    client = cast("ApiClient", None)
    clock = FakeClock(CYCLE_START + timedelta(minutes=1))
    Scenario(client, client, clock, messages.append).wait_for_forecasts(forecasts, ROLES)
    return messages


def test_it_waits_until_every_forecast_is_of_full_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    forecasts, pauses = noted(FakeForecastBook(), full=False), iter([False, True])
    monkeypatch.setattr(time, "sleep", lambda _: noted(forecasts, full=next(pauses)))
    assert reported(forecasts) == ["4 facilities have a forecast from meters and weather (4 of full quality)"]
    assert list(pauses) == []


def test_after_the_time_limit_any_forecast_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "FORECASTS_WITHIN_S", -1.0)
    messages = reported(noted(FakeForecastBook(), full=False))
    assert messages == ["4 facilities have a forecast from meters and weather (0 of full quality)"]


def test_after_the_time_limit_a_facility_without_any_ends_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "FORECASTS_WITHIN_S", -1.0)
    with pytest.raises(DemoFailed, match="no forecast for 4 facilities, for example fac-0, fac-1"):
        reported(FakeForecastBook())
