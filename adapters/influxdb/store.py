"""The telemetry store on InfluxDB: readings, rollups, imported history and current values. The position in the log is
stored in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import structlog

from adapters.influxdb.connection import RAW, InfluxConnection
from adapters.influxdb.finalize import finalize_quarters, unfinalized_rows
from adapters.influxdb.imports import imported, newest_imported, store_imported
from adapters.influxdb.quarters import ComputedQuarters, computed
from adapters.influxdb.raw_readings import last_values, lines_of, newest_by_meter, novel_readings
from adapters.influxdb.rollup_rows import columns_of, has_values, hour_of, hour_row, stored_rollups
from application.ports.clock import Clock
from application.ports.telemetry.progress import Quarter, TelemetryProgress
from application.ports.telemetry.rollups import STEPS_S, CorrectedInterval, FinalizeResult
from application.ports.telemetry.store import CurrentValue, ImportedIntervals, ImportOutcome, MeterValue
from domain.telemetry.facility_rollups import HOUR_S, LOOK_AHEAD_S, RollupSeries
from domain.telemetry.intervals import INTERVAL, INTERVAL_S, RETIRED_AFTER, interval_start
from domain.telemetry.meter_reading import MeterReading
from domain.time_series.interval_block import (
    LONGEST_STEP_S,
    IntervalBlock,
    StoredIntervals,
    block_of,
    steps_in,
)
from domain.time_series.windows import NotAligned, TimeWindow

_log = structlog.get_logger(__name__)


class InfluxTelemetryStore:
    """Readings older than `raw_days` are skipped: InfluxDB would delete them at once, and their quarter-hours were
    finalized long ago. Also implements TelemetryRollups."""

    def __init__(
        self, connection: InfluxConnection, progress: TelemetryProgress, clock: Clock, *, raw_days: int
    ) -> None:
        self._influx = connection
        self._progress = progress
        self._clock = clock
        self._retention = timedelta(days=raw_days)

    def write_readings(self, partition: int, stream_seq: int, readings: Sequence[MeterReading]) -> int:
        with self._influx.health.timed("write readings", is_write=True):
            return self._write(partition, stream_seq, readings)

    def _write(self, partition: int, stream_seq: int, readings: Sequence[MeterReading]) -> int:
        accepted = self._within_retention(readings, self._clock.now())
        if len(accepted) < len(readings):
            accepted = self._within_retention(readings, self._retention_now())
        if expired := len(readings) - len(accepted):
            _log.warning("readings older than the retention of InfluxDB are skipped", readings=expired)
        lines_of(accepted)  # raises before any query
        with self._progress.moving(partition) as progress:
            new = novel_readings(self._influx, accepted)
            self._influx.write(RAW, lines_of(new))
            # All readings, not only the new ones: an earlier attempt may have stored them without recording it.
            progress.mark_dirty(_affected_quarters(accepted))
            progress.move(stream_seq)
        return len(new)

    def _within_retention(self, readings: Sequence[MeterReading], now: datetime) -> list[MeterReading]:
        oldest = now - self._retention + timedelta(hours=1)
        return [reading for reading in readings if reading.ts >= oldest]

    def _retention_now(self) -> datetime:
        """The earlier of our clock and the server's, as for retention on PostgreSQL: one wrong clock alone deletes no
        reading.

        An accelerated clock differs from the server's by design.
        """
        now = self._clock.now()
        servers = self._influx.now() if self._clock.wall_seconds(1.0) == 1.0 else None
        return now if servers is None else min(now, servers)

    def position(self, partition: int) -> int:
        return self._progress.position(partition)

    def current(self, facility_ids: Sequence[str]) -> list[CurrentValue]:
        newest = newest_by_meter(self._influx, facility_ids)
        if not newest:
            return []
        since = min(max(meters.values()) for meters in newest.values()) - RETIRED_AFTER
        power, register = last_values(self._influx, list(newest), since)
        result = {}
        for facility_id, meters in newest.items():
            values = []
            for meter_id, newest_at in sorted(meters.items()):
                at, kw = power.get((facility_id, meter_id), (None, None))
                _, kwh_total = register.get((facility_id, meter_id), (None, None))
                values.append(
                    MeterValue(
                        meter_id=meter_id,
                        kw=kw,
                        measured_at=at,
                        kwh_total=kwh_total,
                        newest_reading_at=newest_at,
                    )
                )
            result[facility_id] = CurrentValue.of(facility_id, values)
        return [result[facility_id] for facility_id in facility_ids if facility_id in result]

    def newest_readings_at(self, facility_ids: Sequence[str]) -> dict[str, datetime]:
        newest = newest_imported(self._influx, facility_ids)
        for facility_id, meters in newest_by_meter(self._influx, facility_ids).items():
            at = max(meters.values())
            newest[facility_id] = max(at, newest.get(facility_id, at))
        return newest

    def newest_reading_at(self, facility_id: str) -> datetime | None:
        return self.newest_readings_at([facility_id]).get(facility_id)

    def interval_series_of(
        self, facility_ids: Sequence[str], window: TimeWindow, step_s: int = INTERVAL_S
    ) -> IntervalBlock:
        steps_in(window, step_s)
        return block_of(facility_ids, window, step_s, self._stored(facility_ids, window))

    def import_intervals(self, intervals: ImportedIntervals, import_id: UUID | None = None) -> ImportOutcome:
        """`import_id` is not stored: InfluxDB cannot remove rows."""
        with self._influx.health.timed("import intervals", is_write=True):
            return store_imported(self._influx, intervals)

    def prepare_days(self, days_from: datetime, days_to: datetime) -> None:
        """InfluxDB creates its shards by itself."""

    def rollups(self, facility_id: str, window: TimeWindow, step_s: int) -> RollupSeries:
        if step_s not in STEPS_S:
            raise NotAligned(f"there are rollups of {', '.join(map(str, STEPS_S))} s, not of {step_s} s")
        # Changes first: a quarter-hour that is finalized meanwhile is in one of the two.
        last_hour = hour_of(window.ends_at)
        hours_end = last_hour + timedelta(hours=last_hour < window.ends_at)
        unfinalized = self._unfinalized([facility_id], hour_of(window.starts_at), hours_end)
        bounds = (window.starts_at, window.ends_at)
        rows = {r.starts_at: r.row for r in stored_rollups(self._influx, [facility_id], step_s, *bounds)}
        if unfinalized is not None and step_s < HOUR_S:
            rows |= {start: row for (_, start), row in unfinalized_rows(unfinalized, step_s).items()}
        elif unfinalized is not None:
            quarters = {start: row for (_, start), row in unfinalized_rows(unfinalized, INTERVAL_S).items()}
            for hour in {hour_of(start) for start in quarters}:
                ends_at = hour + timedelta(seconds=HOUR_S)
                finalized = stored_rollups(self._influx, [facility_id], INTERVAL_S, hour, ends_at)
                rows[hour] = hour_row({r.starts_at: r.row for r in finalized} | quarters, hour)
        last = window.ends_at - timedelta(seconds=step_s)
        inside = sorted(s for s in rows if window.starts_at <= s <= last and has_values(rows[s]))
        return RollupSeries(facility_id, step_s, tuple(inside), columns_of([rows[s] for s in inside]))

    def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
        with self._progress.moving(partition) as progress:
            return finalize_quarters(self._influx, progress, at=self._clock.now(), limit=limit)

    def corrections_after(self, correction_id: int, *, limit: int) -> Sequence[CorrectedInterval]:
        return self._progress.corrections_after(correction_id, limit=limit)

    def _unfinalized(
        self, facility_ids: Sequence[str], starts_from: datetime, ends_at: datetime
    ) -> ComputedQuarters | None:
        """The changed quarter-hours that start within the time range; None where there are none."""
        unfinalized = self._progress.dirty_quarters(facility_ids, starts_from, ends_at)
        return computed(self._influx, unfinalized) if unfinalized else None

    def _stored(self, facility_ids: Sequence[str], window: TimeWindow) -> StoredIntervals:
        number = {facility_id: n for n, facility_id in enumerate(facility_ids)}
        starts_from = window.starts_at - INTERVAL
        unfinalized = self._unfinalized(facility_ids, starts_from, window.ends_at)
        finalized = stored_rollups(self._influx, facility_ids, INTERVAL_S, starts_from, window.ends_at)
        metered = {(r.facility_id, r.starts_at): r.row for r in finalized}
        if unfinalized is not None:
            metered |= unfinalized_rows(unfinalized, INTERVAL_S)
        rows: list[tuple[str, datetime, int, float, float, float, bool]] = [
            (facility_id, start, INTERVAL_S, row[0], np.nan, row[4], True)
            for (facility_id, start), row in metered.items()
        ]
        longest = timedelta(seconds=LONGEST_STEP_S - 1)
        for facility_id, start, step_s, mean_kw, temp_c in imported(
            self._influx, facility_ids, window.starts_at - longest, window.ends_at
        ):
            coverage_pct = 100.0 if np.isfinite(mean_kw) else 0.0
            rows.append((facility_id, start, step_s, mean_kw, temp_c, coverage_pct, False))
        columns = list(zip(*rows, strict=True)) or [()] * 7
        facilities, starts, steps, means, temps, coverages, metereds = columns
        return StoredIntervals(
            np.array([number[facility_id] for facility_id in facilities], dtype=np.int64),
            np.array([(start - window.starts_at).total_seconds() for start in starts], dtype=np.int64),
            np.array(steps, dtype=np.int64),
            np.array(means, dtype=np.float64),
            np.array(temps, dtype=np.float64),
            np.array(coverages, dtype=np.float64),
            np.array(metereds, dtype=np.bool_),
        )


def _affected_quarters(readings: Sequence[MeterReading]) -> list[Quarter]:
    """The quarter-hours that readings affect. A quarter-hour's register ends with the first readings after it, and its
    coverage begins with those before it."""
    affected: dict[Quarter, None] = {}
    for reading in readings:
        start = interval_start(reading.ts)
        affected[reading.facility_id, start] = None
        affected[reading.facility_id, start + INTERVAL] = None
        if reading.ts < start + timedelta(seconds=LOOK_AHEAD_S):
            affected[reading.facility_id, start - INTERVAL] = None
    return list(affected)
