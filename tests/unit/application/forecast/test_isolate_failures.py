"""A failure of one facility, or of one weather answer, does not affect other forecasts."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from application.forecast.cycle_weather import CycleWeather
from application.forecast.isolate_failures import map_isolating_failures
from application.ports.weather.source import WeatherReport
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.weather.source import FakeWeatherSource


def test_a_failing_item_gets_its_error_and_the_others_get_their_results() -> None:
    def halves(numbers: Sequence[int]) -> list[float]:
        return [1 / number for number in numbers]

    found = map_isolating_failures([2, 0, 4], halves)
    assert [found[0], found[2]] == [0.5, 0.25]
    assert isinstance(found[1], ZeroDivisionError)
    assert map_isolating_failures([1, 2], halves) == [1.0, 0.5]
    assert map_isolating_failures([], halves) == []


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"),
        OSError(75, "too large"),
        OverflowError(),
        RecursionError(),
    ],
)
def test_an_invalid_weather_answer_affects_only_its_cell(error: Exception) -> None:
    class Nonsense(FakeWeatherSource):
        async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
            if cell == "bad":
                raise error
            return await super().hourly(cell, starts_at, ends_at)

    desk = CycleWeather(Nonsense(issued_at=NOON), FakeClock())
    found = asyncio.run(desk.fetch(["bad", "good"], NOON, NOON.replace(hour=20)))
    assert found["bad"].report is None
    assert "invalid" in (found["bad"].problem or "")
    assert found["good"].is_usable
