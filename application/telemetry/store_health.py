"""Health of the telemetry store as seen by one process: the share of failed writes, and query times."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from math import ceil
from threading import Lock

from application.ports.telemetry.meter_powers import MeterPowersView
from application.ports.telemetry.rollups import CorrectedInterval, FinalizeResult, TelemetryRollups
from application.ports.telemetry.store import (
    CurrentValue,
    ImportedIntervals,
    ImportOutcome,
    TelemetryStore,
)
from domain.telemetry.facility_rollups import RollupSeries
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.load_history import MeterPowers
from domain.telemetry.meter_reading import MeterReading
from domain.telemetry.reading_block import facilities_in
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import IntervalSeries, TimeWindow

WINDOW_S = 300.0
LEAST = 20
"""With fewer calls in the window no share or percentile is reported."""
MAX_CALLS = 20_000


class TelemetryHealth:
    """Observations of one process over the last WINDOW_S wall seconds. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._writes: deque[tuple[float, bool]] = deque(maxlen=MAX_CALLS)
        self._queries: deque[tuple[float, float]] = deque(maxlen=MAX_CALLS)
        self._lock = Lock()

    def observe_write(self, *, well: bool) -> None:
        with self._lock:
            self._writes.append((self._monotonic(), well))

    def observe_query(self, seconds: float) -> None:
        with self._lock:
            self._queries.append((self._monotonic(), seconds))

    @contextmanager
    def timed_query(self) -> Iterator[None]:
        """Measure one query, whether it succeeds or not."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe_query(time.perf_counter() - began)

    def write_error_pct(self) -> float | None:
        """The share of failed writes in %; None with too few writes."""
        with self._lock:
            _drop_before(self._writes, self._monotonic() - WINDOW_S)
            failed, total = sum(not well for _, well in self._writes), len(self._writes)
        return None if total < LEAST else 100.0 * failed / total

    def query_p99_s(self) -> float | None:
        """The 99th percentile of query times; None with too few queries."""
        with self._lock:
            _drop_before(self._queries, self._monotonic() - WINDOW_S)
            seconds = sorted(seconds for _, seconds in self._queries)
        return None if len(seconds) < LEAST else seconds[ceil(len(seconds) * 0.99) - 1]


def _drop_before(calls: deque[tuple[float, bool]] | deque[tuple[float, float]], before: float) -> None:
    while calls and calls[0][0] < before:
        calls.popleft()


def _ignore(facility_ids: Collection[str]) -> None:
    """The default listener: does nothing."""


class MonitoredTelemetryStore:
    """A telemetry store whose calls are observed in `health`. After a write, `stored` is called with the
    facilities, in the writing thread."""

    def __init__(
        self,
        store: TelemetryStore,
        health: TelemetryHealth,
        stored: Callable[[Collection[str]], None] = _ignore,
    ) -> None:
        self._store = store
        self._health = health
        self._stored = stored

    def write_readings(self, partition: int, stream_seq: int, readings: Sequence[MeterReading]) -> int:
        with self._writing():
            added = self._store.write_readings(partition, stream_seq, readings)
        self._stored(facilities_in(readings))
        return added

    def position(self, partition: int) -> int:
        return self._store.position(partition)

    def current(self, facility_ids: Sequence[str]) -> list[CurrentValue]:
        with self._health.timed_query():
            return self._store.current(facility_ids)

    def newest_readings_at(self, facility_ids: Sequence[str]) -> dict[str, datetime]:
        with self._health.timed_query():
            return self._store.newest_readings_at(facility_ids)

    def newest_reading_at(self, facility_id: str) -> datetime | None:
        with self._health.timed_query():
            return self._store.newest_reading_at(facility_id)

    def interval_series_of(
        self, facility_ids: Sequence[str], window: TimeWindow, step_s: int = INTERVAL_S
    ) -> IntervalBlock:
        with self._health.timed_query():
            return self._store.interval_series_of(facility_ids, window, step_s)

    def interval_series(
        self, facility_id: str, window: TimeWindow, step_s: int = INTERVAL_S
    ) -> IntervalSeries:
        with self._health.timed_query():
            return self._store.interval_series(facility_id, window, step_s)

    def coverage(self, facility_id: str, window: TimeWindow) -> float:
        with self._health.timed_query():
            return self._store.coverage(facility_id, window)

    def import_intervals(self, intervals: ImportedIntervals) -> ImportOutcome:
        with self._writing():
            return self._store.import_intervals(intervals)

    def prepare_days(self, days_from: datetime, days_to: datetime) -> None:
        self._store.prepare_days(days_from, days_to)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        well = False
        try:
            yield
            well = True
        finally:
            self._health.observe_write(well=well)


class MonitoredRollups:
    """Rollups whose reads are observed in `health`."""

    def __init__(self, rollups: TelemetryRollups, health: TelemetryHealth) -> None:
        self._rollups = rollups
        self._health = health

    def rollups(self, facility_id: str, window: TimeWindow, step_s: int) -> RollupSeries:
        with self._health.timed_query():
            return self._rollups.rollups(facility_id, window, step_s)

    def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
        return self._rollups.finalize(partition, limit=limit)

    def corrections_after(self, correction_id: int, *, limit: int) -> Sequence[CorrectedInterval]:
        with self._health.timed_query():
            return self._rollups.corrections_after(correction_id, limit=limit)


class MonitoredMeterPowers:
    """Meter powers whose reads are observed in `health`."""

    def __init__(self, powers: MeterPowersView, health: TelemetryHealth) -> None:
        self._powers = powers
        self._health = health

    def meter_powers(self, facility_id: str, window: TimeWindow) -> list[MeterPowers]:
        with self._health.timed_query():
            return self._powers.meter_powers(facility_id, window)
