"""A scheduled outage of the simulated weather service, and the journal of its calls."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.time_series.windows import TimeWindow
from interfaces.simulators.journal import Journal, read_journal
from interfaces.simulators.outside_journal import WeatherCall
from interfaces.simulators.weather.service import SimulatedWeather, WeatherFaults
from tests.fakes.clock import FakeClock

NOON = datetime(2026, 7, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_every_call_during_an_outage_fails_and_is_journaled_as_failed(tmp_path: Path) -> None:
    clock, path = FakeClock(NOON), tmp_path / "calls.jsonl"
    outage = TimeWindow(NOON + HOUR, NOON + 2 * HOUR)
    with contextlib.closing(Journal(path)) as journal:
        weather = SimulatedWeather(
            clock=clock, faults=WeatherFaults(down_during=(outage,)), record=journal.append
        )
        statuses = []
        for minutes in (0, 59, 60, 119, 120):
            clock.moment = NOON + timedelta(minutes=minutes)
            answer = asyncio.run(weather.answer("oslo", NOON, NOON + 24 * HOUR))
            statuses.append(answer.status_code)
    assert statuses == [200, 200, 503, 503, 200]
    calls = read_journal(path, WeatherCall)
    assert [call.issued_at for call in calls] == [NOON, NOON, None, None, NOON + 2 * HOUR]
    assert [call.at - NOON for call in calls] == [timedelta(minutes=m) for m in (0, 59, 60, 119, 120)]
