"""The caching weather source: reuse within the hour, and old reports while the service is unavailable."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from application.forecast.cycle_weather import CycleWeather
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.weather.source import WeatherReport, WeatherUnavailable
from application.ports.weather.temperatures import StoredTemperatures
from application.weather.cached_source import CachedWeatherSource, hours_of
from domain.forecast import data_quality
from domain.time_series.windows import IntervalSeries, TimeWindow
from tests.fakes.clock import FakeClock
from tests.fakes.shared_cache import FakeSharedCache
from tests.fakes.weather.temperatures import FakeCellTemperatures

START = datetime(2026, 7, 14, 20, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HORIZON = timedelta(hours=24)


class FakeSource:
    """Returns the hour of the day as its temperature, at most two days ahead; unavailable while `away`."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.away = False
        self.ahead = 2 * DAY
        self.since = clock.moment - 400 * DAY
        self.is_past_away = False
        """Whether requests for more than three days of the past fail."""
        self.asked: list[tuple[datetime, datetime]] = []
        self.failed = 0

    async def hourly(self, cell: str, starts_at: datetime, ends_at: datetime) -> WeatherReport:
        if self.away or (self.is_past_away and starts_at < self.clock.moment - 3 * DAY):
            self.failed += 1
            raise WeatherUnavailable("away")
        self.asked.append((starts_at, ends_at))
        hours = [starts_at + HOUR * n for n in range((ends_at - starts_at) // HOUR)]
        told = [float(at.hour) if self.since <= at < self.clock.moment + self.ahead else None for at in hours]
        return WeatherReport(
            cell=cell, issued_at=self.clock.moment, temp_c=IntervalSeries.of(starts_at, 3600, told)
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def service(clock: FakeClock) -> FakeSource:
    return FakeSource(clock)


async def report_at(
    weather: CachedWeatherSource, clock: FakeClock, *, back: timedelta = 8 * DAY
) -> WeatherReport:
    hour = clock.moment.replace(minute=0)
    return await weather.hourly("cell-1", hour - back, hour + HORIZON + HOUR)


def test_four_cycles_of_an_hour_make_one_call(clock: FakeClock, service: FakeSource) -> None:
    async def scenario() -> None:
        weather = CachedWeatherSource(service, clock)
        for _ in range(4):
            report = await report_at(weather, clock)
            assert np.isfinite(report.temp_c.values).all()
            clock.moment += timedelta(minutes=14)
        assert len(service.asked) == 1
        clock.moment += timedelta(minutes=14)
        await report_at(weather, clock)
        assert len(service.asked) == 2

    asyncio.run(scenario())


def test_the_past_is_requested_once_and_then_once_a_day(clock: FakeClock, service: FakeSource) -> None:
    async def scenario() -> None:
        weather = CachedWeatherSource(service, clock)
        for _ in range(49):
            report = await report_at(weather, clock)
            assert report.temp_c.values.tolist() == [
                float((report.temp_c.starts_at + HOUR * n).hour) for n in range(8 * 24 + 25)
            ]
            clock.moment += HOUR
        past = [first for first, last in service.asked if last - first > 2 * DAY]
        since = START.replace(minute=0)
        assert past == [since - 8 * DAY, since - DAY, since]

    asyncio.run(scenario())


def test_a_past_longer_than_the_cached_one_is_requested(clock: FakeClock, service: FakeSource) -> None:
    async def scenario() -> None:
        weather = CachedWeatherSource(service, clock)
        await report_at(weather, clock)
        report = await report_at(weather, clock, back=42 * DAY)
        assert np.isfinite(report.temp_c.values).all()
        await report_at(weather, clock, back=42 * DAY)
        assert len(service.asked) == 2

    asyncio.run(scenario())


def test_after_a_loss_of_the_cache_only_the_last_day_of_the_past_is_requested_again(
    clock: FakeClock, service: FakeSource
) -> None:
    async def scenario() -> None:
        temperatures = FakeCellTemperatures()
        for _ in range(2):  # each a new process with an empty cache
            report = await report_at(
                CachedWeatherSource(service, clock, None, temperatures), clock, back=56 * DAY
            )
            assert report.temp_c.values.tolist() == [
                float((report.temp_c.starts_at + HOUR * n).hour) for n in range(56 * 24 + 25)
            ]
            clock.moment += HOUR
        hour = START.replace(minute=0)
        assert [first for first, _ in service.asked] == [hour - 56 * DAY, hour.replace(hour=0) - DAY]
        window = TimeWindow(hour - 55 * DAY, hour)
        assert np.isfinite(temperatures.temperatures_of("cell-1", window).values).all()

    asyncio.run(scenario())


def test_each_hour_that_passed_is_stored(clock: FakeClock, service: FakeSource) -> None:
    async def scenario() -> None:
        temperatures = FakeCellTemperatures()
        weather = CachedWeatherSource(service, clock, FakeSharedCache(), temperatures)
        for _ in range(50):
            await report_at(weather, clock)
            clock.moment += HOUR
        window = TimeWindow(START.replace(minute=0) - 8 * DAY, START.replace(minute=0) + 49 * HOUR)
        stored = temperatures.stored("cell-1", window)
        assert stored.temp_c.values.tolist() == [
            float((window.starts_at + HOUR * n).hour) for n in range(241)
        ]
        assert stored.first_due() == (START + DAY).replace(hour=0, minute=0)

    asyncio.run(scenario())


@pytest.mark.parametrize("is_new_process", [False, True])
def test_a_missing_past_is_requested_again_after_a_day_and_by_each_new_process(
    clock: FakeClock, service: FakeSource, is_new_process: bool
) -> None:
    async def scenario() -> None:
        cache = FakeSharedCache()
        service.since = START - 7 * DAY
        weather = CachedWeatherSource(service, clock, cache)
        first = await report_at(weather, clock, back=56 * DAY)
        await report_at(weather, clock, back=56 * DAY)
        assert (len(service.asked), np.isfinite(first.temp_c.values).sum() // 24) == (1, 8)
        service.since = START - 90 * DAY
        if is_new_process:
            weather = CachedWeatherSource(service, clock, cache)
        else:
            clock.moment += DAY
        report = await report_at(weather, clock, back=56 * DAY)
        assert np.isfinite(report.temp_c.values).all()
        *_, past = service.asked
        hour = clock.moment.replace(minute=0)
        assert past == (hour - 56 * DAY, START.replace(minute=0) - 7 * DAY + HOUR), (
            "what is known is not in it"
        )
        assert len(service.asked) == (2 if is_new_process else 3), "after a day also the hours ahead"
        await report_at(weather, clock, back=56 * DAY)
        assert service.asked[-1] == past

    asyncio.run(scenario())


def test_a_past_that_cannot_be_read_does_not_lose_the_hours_ahead_and_is_requested_once_a_day(
    clock: FakeClock, service: FakeSource
) -> None:
    async def scenario() -> None:
        service.since = START - 7 * DAY
        weather = CachedWeatherSource(service, clock)
        await report_at(weather, clock, back=56 * DAY)
        service.is_past_away = True
        clock.moment += DAY
        for _ in range(5):
            report = await report_at(weather, clock, back=56 * DAY)
            assert clock.moment - report.issued_at < HOUR
            clock.moment += timedelta(minutes=30)
        assert service.failed == 1

    asyncio.run(scenario())


def test_reports_are_served_while_the_store_of_temperatures_is_away(
    clock: FakeClock, service: FakeSource
) -> None:
    class Away(FakeCellTemperatures):
        def stored(self, cell: str, window: TimeWindow) -> StoredTemperatures:
            raise OperationsUnavailable("away")

        def record(self, cell: str, temp_c: IntervalSeries, *, final_until: datetime) -> None:
            raise OperationsUnavailable("away")

    report = asyncio.run(report_at(CachedWeatherSource(service, clock, None, Away()), clock))
    assert np.isfinite(report.temp_c.values).all()


def test_processes_share_reports(clock: FakeClock, service: FakeSource) -> None:
    async def scenario() -> None:
        cache = FakeSharedCache()
        one, other = (CachedWeatherSource(service, clock, cache) for _ in range(2))
        mine, theirs = await report_at(one, clock), await report_at(other, clock)
        assert len(service.asked) == 1
        assert theirs.issued_at == mine.issued_at
        assert theirs.temp_c.values.tolist() == mine.temp_c.values.tolist()

    asyncio.run(scenario())


def test_without_the_cache_each_process_stores_its_own_reports(clock: FakeClock, service: FakeSource) -> None:
    async def scenario() -> None:
        cache = FakeSharedCache()
        cache.available = False
        weather = CachedWeatherSource(service, clock, cache)
        await report_at(weather, clock)
        await report_at(weather, clock)
        assert len(service.asked) == 1

    asyncio.run(scenario())


def test_an_unreadable_cache_entry_of_another_release_is_ignored(
    clock: FakeClock, service: FakeSource
) -> None:
    async def scenario() -> None:
        cache = FakeSharedCache()
        await cache.put_many({"weather:cell-1": b"[1, 2]"}, ttl_wall_s=60.0)
        assert (await report_at(CachedWeatherSource(service, clock, cache), clock)).issued_at == START

    asyncio.run(scenario())


def test_the_old_report_is_served_with_its_age_while_the_service_is_unavailable(
    clock: FakeClock, service: FakeSource
) -> None:
    async def scenario() -> None:
        cache = FakeSharedCache()
        await report_at(CachedWeatherSource(service, clock, cache), clock)
        service.away = True
        clock.moment += 5 * HOUR
        # A new process, which has the report only in the cache.
        report = await report_at(CachedWeatherSource(service, clock, cache), clock)
        assert clock.moment - report.issued_at == 5 * HOUR

    asyncio.run(scenario())


def test_an_unavailable_service_without_a_cached_report_is_reported(
    clock: FakeClock, service: FakeSource
) -> None:
    async def scenario() -> None:
        service.away = True
        with pytest.raises(WeatherUnavailable, match="away"):
            await report_at(CachedWeatherSource(service, clock), clock)

    asyncio.run(scenario())


def test_during_an_outage_quality_goes_from_fresh_to_stale_to_yesterday_to_none_and_back(
    clock: FakeClock, service: FakeSource
) -> None:
    """Each state by the data quality of a forecast in it."""

    async def quality(desk: CycleWeather) -> tuple[str, str, str | None]:
        found = (await desk.fetch(["cell-1"], clock.moment - DAY, clock.moment + HORIZON))["cell-1"]
        told = np.full(24, np.nan)
        if found.report is not None:
            told = hours_of(
                found.report.temp_c, clock.moment.replace(minute=0), clock.moment.replace(minute=0) + DAY
            )
        available = bool(np.isfinite(told).mean() >= 0.7)
        right = told == np.array([(clock.moment + HOUR * n).hour for n in range(24)])
        known = "none" if not available else "right" if right[np.isfinite(told)].all() else "wrong"
        return (
            known,
            found.problem or "",
            data_quality(
                at=clock.moment,
                newest_reading_at=clock.moment,
                sensor_coverage_pct=100.0,
                weather_available=available,
                weather_age_s=found.age_s if available else None,
            ),
        )

    async def scenario() -> None:
        desk = CycleWeather(CachedWeatherSource(service, clock), clock)
        assert await quality(desk) == ("right", "", "full")
        service.away = True
        clock.moment += 2 * HOUR
        assert (await quality(desk))[2] == "full"
        clock.moment += 2 * HOUR
        # The last report still reaches the horizon.
        assert await quality(desk) == ("right", "the newest weather is 4 h old", "degraded_stale_weather")
        clock.moment += 24 * HOUR
        # It ends at 46 h; later hours are those of the day before.
        assert await quality(desk) == ("right", "the newest weather is 28 h old", "degraded_stale_weather")
        clock.moment += 80 * HOUR
        assert (await quality(desk))[::2] == ("none", "degraded_no_weather")
        service.away = False
        assert await quality(desk) == ("right", "", "full")

    asyncio.run(scenario())


def test_a_fresh_report_that_ends_too_early_is_reported_and_not_filled(
    clock: FakeClock, service: FakeSource
) -> None:
    """A contract may cover one day only. Yesterday's temperature must not count as a full-quality forecast."""

    async def scenario() -> None:
        service.ahead = timedelta(hours=8)
        desk = CycleWeather(service, clock)
        found = (await desk.fetch(["cell-1"], clock.moment - DAY, clock.moment + HORIZON))["cell-1"]
        assert (found.is_usable, found.age_s) == (False, 0.0)
        assert "see what the contract covers" in (found.problem or "")
        assert found.report is not None
        assert np.isfinite(hours_of(found.report.temp_c, START.replace(minute=0), START + HORIZON)).sum() == 9

    asyncio.run(scenario())
