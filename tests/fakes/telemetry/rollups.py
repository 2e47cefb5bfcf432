"""Rollups in memory, over the fake store's readings; they pass the same contract suite as PostgreSQL's."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from application.ports.clock import Clock
from application.ports.telemetry.rollups import STEPS_S, CorrectedInterval, FinalizeResult
from domain.telemetry.facility_rollups import (
    HOUR_S,
    QUARTERS,
    RollupColumns,
    RollupSeries,
    columns_of,
    hour_of_quarters,
)
from domain.telemetry.intervals import INTERVAL_S
from domain.telemetry.meter_reading import partition_of
from domain.telemetry.minute_ranges import MINUTE_S
from domain.time_series.windows import NotAligned, TimeWindow
from tests.fakes.telemetry.store import FakeTelemetryStore

FINALIZED_AFTER = timedelta(seconds=1_220)
LATE_AFTER = timedelta(hours=2)
Row = tuple[float, ...]
_GAP: Row = (np.nan, np.nan, np.nan, np.nan, 0.0, 0, 0)


class FakeTelemetryRollups:
    """Finalizing compares everything that is over with its last finalized values."""

    def __init__(self, store: FakeTelemetryStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.finalized: dict[tuple[str, datetime], tuple[float | None, float | None]] = {}
        self.corrections: list[CorrectedInterval] = []

    def rollups(self, facility_id: str, window: TimeWindow, step_s: int) -> RollupSeries:
        if step_s not in STEPS_S:
            raise NotAligned(f"there are no rollups of {step_s} s")
        self.store.position(0)  # raises while the store is unavailable
        rows: dict[datetime, Row] = {}
        quarters: dict[datetime, Row] = {}
        for start in self.store.quarters_of(facility_id):
            found = self.store.quarter(facility_id, start)
            assert found is not None
            minutes, whole = found
            quarters[start] = _row(whole, 0)
            if step_s == MINUTE_S:
                rows |= {start + timedelta(minutes=k): _row(minutes, k) for k in range(15)}
        if step_s == INTERVAL_S:
            rows = quarters
        elif step_s == HOUR_S:
            rows = {hour: _hour(quarters, hour) for hour in {start.replace(minute=0) for start in quarters}}
        last = window.ends_at - timedelta(seconds=step_s)
        starts = sorted(s for s, row in rows.items() if window.starts_at <= s <= last and (row[4] or row[5]))
        return RollupSeries(facility_id, step_s, tuple(starts), columns_of([rows[start] for start in starts]))

    def finalize(self, partition: int, *, limit: int) -> FinalizeResult:
        now = self.clock.now()
        quarters = corrected = 0
        for facility_id in sorted({r.facility_id for r in self.store.readings.values()}):
            if partition_of(facility_id) != partition:
                continue
            for start in self.store.quarters_of(facility_id):
                if start <= now - FINALIZED_AFTER and quarters < limit:
                    changed, was_corrected = self._settle(facility_id, start, now)
                    quarters, corrected = quarters + changed, corrected + was_corrected
        return FinalizeResult(quarters=quarters, corrected=corrected)

    def _settle(self, facility_id: str, start: datetime, now: datetime) -> tuple[bool, bool]:
        found = self.store.quarter(facility_id, start)
        assert found is not None
        new = (_readings_in(found[1].mean_kw[0, 0]), _readings_in(found[1].kwh[0, 0]))
        old = self.finalized.get((facility_id, start))
        self.finalized[facility_id, start] = new
        if old == new or (old is None and start >= now - LATE_AFTER):
            return old != new, False
        before = old or (None, None)
        self.corrections.append(
            CorrectedInterval(
                correction_id=len(self.corrections) + 1,
                facility_id=facility_id,
                starts_at=start,
                old_mean_kw=before[0],
                new_mean_kw=new[0],
                old_kwh=before[1],
                new_kwh=new[1],
                corrected_at=now,
            )
        )
        return True, True

    def corrections_after(self, correction_id: int, *, limit: int) -> Sequence[CorrectedInterval]:
        return self.corrections[correction_id : correction_id + limit]


def _row(columns: RollupColumns, k: int) -> Row:
    return tuple(getattr(columns, name)[0, k].item() for name in columns.__struct_fields__)


def _hour(quarters: dict[datetime, Row], hour: datetime) -> Row:
    four = columns_of([quarters.get(hour + timedelta(seconds=INTERVAL_S * n), _GAP) for n in range(QUARTERS)])
    whole = hour_of_quarters(RollupColumns(*(getattr(four, n)[None, :] for n in four.__struct_fields__)))
    return tuple(getattr(whole, name)[0].item() for name in whole.__struct_fields__)


def _readings_in(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
