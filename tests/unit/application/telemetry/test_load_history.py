"""Load histories: the source of each step, coalescing, caching and refusals."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from application.ports.telemetry.store import ImportedIntervals, TelemetryStoreUnavailable
from application.telemetry.load_history import HistorySources, HistoryTooLong, LoadHistories, load_histories
from domain.telemetry.meter_reading import MeterReading
from domain.time_series.windows import NotAligned, TimeWindow
from tests.fakes.clock import FakeClock
from tests.fakes.shared_cache import FakeSharedCache
from tests.fakes.telemetry.meter_powers import FakeMeterPowers
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore

NOW = datetime(2026, 7, 14, 12, 0, tzinfo=UTC)
HOUR = TimeWindow(NOW - timedelta(hours=1), NOW)


class CountingStore(FakeTelemetryStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, ...]] = []

    def interval_series_of(self, facility_ids: Sequence[str], *args: Any, **named: Any) -> Any:
        self.asked.append(tuple(facility_ids))
        return super().interval_series_of(facility_ids, *args, **named)


class LoadHistoryProcess:
    """One process, over a store and a cache that may be shared."""

    def __init__(self, shared: "LoadHistoryProcess | None" = None) -> None:
        self.clock: FakeClock = shared.clock if shared else FakeClock(NOW)
        self.store: CountingStore = shared.store if shared else CountingStore()
        self.cache: FakeSharedCache = shared.cache if shared else FakeSharedCache()
        rollups = FakeTelemetryRollups(self.store, self.clock)
        self.sources = HistorySources(self.store, rollups, FakeMeterPowers(self.store))
        self.histories = LoadHistories(self.sources, self.clock, self.cache)

    def every_15_s(self, start_s: int, end_s: int, kw: float, facility: str = "a", meter: str = "m") -> None:
        readings = [
            MeterReading(facility, meter, HOUR.starts_at + timedelta(seconds=s), kw, None)
            for s in range(start_s, end_s, 15)
        ]
        self.store.write_readings(0, 1, readings)


async def settled() -> None:
    """Wait for background work (a write into the cache) to end."""
    for _ in range(5):
        await asyncio.sleep(0)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_histories_of_one_window_share_one_query_and_are_then_cached() -> None:
    async def scenario() -> None:
        process = LoadHistoryProcess()
        process.every_15_s(0, 900, 8.0)
        asks = (process.histories.history(name, HOUR, 900) for name in ("a", "b", "a") for _ in range(10))
        found = await asyncio.gather(*asks)
        assert (found[0].series.mean_kw[0], found[0].series.kwh[0]) == (8.0, 2.0)
        assert np.isnan(found[10].series.mean_kw).all()
        assert [len(keys) for keys in process.store.asked] == [2]
        await settled()
        again = await LoadHistoryProcess(process).histories.history("a", HOUR, 900)
        assert (again.answer.source, again.answer.read_at) == ("cache", NOW)
        assert again.series.starts_at == HOUR.starts_at
        assert again.series.coverage_pct.tolist() == [100.0, 0.0, 0.0, 0.0]

    run(scenario())


@pytest.mark.parametrize("step_s", [15, 60, 900, 3_600])
def test_a_stale_history_is_returned_while_the_store_is_unavailable(step_s: int) -> None:
    async def scenario() -> None:
        process = LoadHistoryProcess()
        await process.histories.history("a", HOUR, step_s)
        process.clock.advance(seconds=60)
        process.store.available = False
        assert (await process.histories.history("a", HOUR, step_s)).answer.source == "last_known"
        with pytest.raises(TelemetryStoreUnavailable):
            await process.histories.history("b", HOUR, step_s)

    run(scenario())


def test_a_window_without_whole_steps_is_refused_without_effect_on_others() -> None:
    async def scenario() -> None:
        process = LoadHistoryProcess()
        odd = TimeWindow(HOUR.starts_at, HOUR.ends_at + timedelta(minutes=7))
        answers = await asyncio.gather(
            process.histories.history("a", odd, 900),
            process.histories.history("a", HOUR, 900),
            return_exceptions=True,
        )
        assert isinstance(answers[0], NotAligned)
        assert not isinstance(answers[1], BaseException)

    run(scenario())


def test_every_resolution_gives_the_same_load() -> None:
    process = LoadHistoryProcess()
    process.every_15_s(0, 3_600, 8.0)
    process.every_15_s(0, 3_600, 4.0, meter="m2")
    for step_s in (15, 60, 900, 3_600):
        found = load_histories(process.sources, ["a"], HOUR, step_s)["a"]
        assert (found.step_s, len(found.mean_kw)) == (step_s, 3_600 // step_s)
        assert found.mean_kw == pytest.approx(12.0)
        assert found.kwh.sum() == pytest.approx(12.0)
        assert (found.min_kw.max(), found.max_kw.min()) == (12.0, 12.0)
        assert found.coverage_pct == pytest.approx(100.0)


def test_imported_values_are_used_where_the_meters_cover_too_little() -> None:
    process = LoadHistoryProcess()
    process.every_15_s(0, 900, 8.0)
    process.every_15_s(900, 1_050, 8.0)
    starts = int(HOUR.starts_at.timestamp()) + np.arange(3) * 900
    process.store.import_intervals(
        ImportedIntervals(
            ("a",), np.zeros(3, np.int64), starts, np.full(3, 900), np.full(3, 20.0), np.full(3, np.nan)
        )
    )
    found = load_histories(process.sources, ["a"], HOUR, 900)["a"]
    assert found.mean_kw[:3].tolist() == [8.0, 20.0, 20.0]
    assert found.kwh[:3].tolist() == [2.0, 5.0, 5.0]
    assert np.isnan(found.mean_kw[3])
    assert found.max_kw[0] == 8.0
    assert np.isnan(found.max_kw[1:]).all()
    assert found.coverage_pct.tolist() == [100.0, 100.0, 100.0, 0.0]


def test_hours_off_the_utc_hour_have_a_mean() -> None:
    process = LoadHistoryProcess()
    process.every_15_s(0, 3_600, 8.0)
    window = TimeWindow(HOUR.starts_at - timedelta(minutes=30), HOUR.ends_at - timedelta(minutes=30))
    process.every_15_s(-1_800, 0, 8.0)
    found = load_histories(process.sources, ["a"], window, 3_600)["a"]
    assert (found.mean_kw.tolist(), found.kwh.tolist()) == ([8.0], [8.0])
    assert np.isnan(found.min_kw).all()


@pytest.mark.parametrize(("step_s", "days"), [(15, 1), (60, 31), (900, 92), (3_600, 92)])
def test_a_window_longer_than_its_steps_allow_is_refused_by_name(step_s: int, days: int) -> None:
    too_long = TimeWindow(NOW - timedelta(days=days, seconds=step_s), NOW)
    with pytest.raises(HistoryTooLong):
        load_histories(LoadHistoryProcess().sources, ["a"], too_long, step_s)


def test_other_step_lengths_and_windows_off_the_minute_are_refused() -> None:
    process = LoadHistoryProcess()
    half = TimeWindow(HOUR.starts_at + timedelta(seconds=30), HOUR.ends_at - timedelta(seconds=30))
    for window, step_s in ((HOUR, 300), (half, 60)):
        with pytest.raises(NotAligned):
            load_histories(process.sources, ["a"], window, step_s)
        with pytest.raises(NotAligned):
            asyncio.run(process.histories.history("a", window, step_s))
