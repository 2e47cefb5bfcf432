"""The telemetry store in memory, for tests of its users; it passes the same contract suite as PostgreSQL's."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from math import isfinite
from uuid import UUID

import numpy as np

from application.ports.telemetry.store import (
    CurrentValue,
    ImportedIntervals,
    ImportOutcome,
    MeterValue,
    ReadingsRefused,
    TelemetryStoreUnavailable,
)
from domain.telemetry.active_meters import QUARTERS_A_DAY, MeterPresence, quarter_number
from domain.telemetry.facility_rollups import RollupColumns, quarter_rollups
from domain.telemetry.intervals import INTERVAL, INTERVAL_S, interval_start
from domain.telemetry.meter_reading import UNUSABLE, MeterReading, conflict_rank
from domain.time_series.interval_block import (
    LONGEST_STEP_S,
    IntervalBlock,
    StoredIntervals,
    block_of,
    steps_in,
)
from domain.time_series.windows import TimeWindow
from tests.import_layers import ImportLayers, Key, Value, over
from tests.reading_columns import to_quarter_points

NAN = float("nan")
Quarter = tuple[RollupColumns, RollupColumns]


class FakeTelemetryStore:
    """`available = False` makes every call raise TelemetryStoreUnavailable."""

    def __init__(self) -> None:
        self.available = True
        self.readings: dict[tuple[datetime, str, str], MeterReading] = {}
        self.positions: dict[int, int] = {}
        self.layers = ImportLayers({})
        self.around_import: Callable[[Iterable[Key]], AbstractContextManager[None]] = lambda _: nullcontext()
        """Around the storing of a recorded import's rows."""
        self._quarters: dict[tuple[str, datetime], Quarter | None] = {}

    @property
    def imported(self) -> dict[Key, Value]:
        """The imported rows that readers see."""
        return self.layers.stored

    @imported.setter
    def imported(self, rows: dict[Key, Value]) -> None:
        self.layers.stored = rows

    def write_readings(self, partition: int, stream_seq: int, readings: Sequence[MeterReading]) -> int:
        self._check()
        if any("\0" in r.facility_id + r.meter_id for r in readings):
            raise ReadingsRefused("a text holds NUL")
        changed = 0
        for reading in readings:
            key = (reading.ts, reading.meter_id, reading.facility_id)
            if key not in self.readings or conflict_rank(reading) > conflict_rank(self.readings[key]):
                self.readings[key] = reading
                changed += 1
        if changed:
            self._quarters.clear()
        self.positions[partition] = max(stream_seq, self.positions.get(partition, 0))
        return changed

    def remove_meter(self, facility_id: str, meter_id: str) -> int:
        """Remove the readings of one meter. Returns their number."""
        self._check()
        mine = [
            key for key, r in self.readings.items() if (r.facility_id, r.meter_id) == (facility_id, meter_id)
        ]
        for key in mine:
            del self.readings[key]
        self._quarters.clear()
        return len(mine)

    def quarter(self, facility_id: str, starts_at: datetime) -> Quarter | None:
        """The minutes and the quarter-hour computed from its readings; None where there are none."""
        key = (facility_id, starts_at)
        if key not in self._quarters:
            self._quarters[key] = self._computed(facility_id, starts_at)
        return self._quarters[key]

    def _computed(self, facility_id: str, starts_at: datetime) -> Quarter | None:
        mine = self._of(facility_id)
        number = quarter_number(starts_at)
        presence = MeterPresence(number - QUARTERS_A_DAY)
        for r in mine:
            presence.add(facility_id, r.meter_id, quarter_number(r.ts))
        if not any(starts_at <= r.ts < starts_at + INTERVAL for r in mine):
            return None
        points, meters = to_quarter_points(mine, starts_at)
        expected = np.array([presence.expected(facility_id, number)], dtype=np.int64)
        return quarter_rollups(points, np.zeros(len(meters), dtype=np.int64), expected)

    def quarters_of(self, facility_id: str) -> list[datetime]:
        """The quarter-hours with readings."""
        return sorted({interval_start(r.ts) for r in self._of(facility_id)})

    def _of(self, facility_id: str) -> list[MeterReading]:
        return sorted((r for r in self.readings.values() if r.facility_id == facility_id), key=lambda r: r.ts)

    def _meters(self, facility_id: str) -> list[str]:
        return sorted({r.meter_id for r in self._of(facility_id)})

    def position(self, partition: int) -> int:
        self._check()
        return self.positions.get(partition, 0)

    def current(self, facility_ids: Sequence[str]) -> list[CurrentValue]:
        self._check()
        known = [(f, self._meters(f)) for f in facility_ids]
        return [
            CurrentValue.of(f, [self._meter_value(f, m) for m in meters]) for f, meters in known if meters
        ]

    def _meter_value(self, facility_id: str, meter_id: str) -> MeterValue:
        mine = [r for r in self._of(facility_id) if r.meter_id == meter_id]
        powers = [r for r in mine if r.kw is not None and r.quality not in UNUSABLE]
        registers = [r for r in mine if r.kwh_total is not None and r.quality not in UNUSABLE]
        return MeterValue(
            meter_id=meter_id,
            kw=powers[-1].kw if powers else None,
            measured_at=powers[-1].ts if powers else None,
            kwh_total=registers[-1].kwh_total if registers else None,
            newest_reading_at=mine[-1].ts,
        )

    def newest_readings_at(self, facility_ids: Sequence[str]) -> dict[str, datetime]:
        self._check()
        newest = {}
        for facility_id in facility_ids:
            ends_s = [r.ts.timestamp() for r in self._of(facility_id)] + [
                start_s + step_s
                for (facility, start_s, step_s), (kw, _) in self.imported.items()
                if facility == facility_id and isfinite(kw)
            ]
            if ends_s:
                newest[facility_id] = datetime.fromtimestamp(max(ends_s), UTC)
        return newest

    def newest_reading_at(self, facility_id: str) -> datetime | None:
        return self.newest_readings_at([facility_id]).get(facility_id)

    def interval_series_of(
        self, facility_ids: Sequence[str], window: TimeWindow, step_s: int = INTERVAL_S
    ) -> IntervalBlock:
        self._check()
        steps_in(window, step_s)
        rows = [row for n, f in enumerate(facility_ids) for row in self._rows(n, f, window)]
        columns = list(zip(*rows, strict=True)) or [()] * 7
        kinds = [np.int64, np.int64, np.int64, np.float64, np.float64, np.float64, np.bool_]
        stored = StoredIntervals(*(np.array(c, dtype=k) for c, k in zip(columns, kinds, strict=True)))
        return block_of(facility_ids, window, step_s, stored)

    def _rows(self, number: int, facility_id: str, window: TimeWindow) -> list[tuple[float, ...]]:
        start_s = int(window.starts_at.timestamp())
        rows: list[tuple[float, ...]] = []
        for at in self.quarters_of(facility_id):
            if (found := self.quarter(facility_id, at)) is not None:
                whole, offset = found[1], int(at.timestamp()) - start_s
                rows.append(
                    (number, offset, INTERVAL_S, whole.mean_kw[0, 0], NAN, whole.coverage_pct[0, 0], True)
                )
        first_s, last_s = start_s - LONGEST_STEP_S, start_s + window.duration_s
        for (facility, at_s, step), (kw, temp_c) in self.imported.items():
            if facility == facility_id and first_s < at_s < last_s:
                coverage = 100.0 if np.isfinite(kw) else 0.0
                rows.append((number, at_s - start_s, step, kw, temp_c, coverage, False))
        return [row for row in rows if -LONGEST_STEP_S < row[1] < window.duration_s]

    def import_intervals(self, intervals: ImportedIntervals, import_id: UUID | None = None) -> ImportOutcome:
        self._check()
        if len(intervals) and not 1 <= intervals.step_s.min() <= intervals.step_s.max() <= LONGEST_STEP_S:
            raise ReadingsRefused(f"step_s must be 1 .. {LONGEST_STEP_S}")
        keys = [
            (intervals.facility_ids[f], int(at), int(step))
            for f, at, step in zip(
                intervals.facility_index, intervals.starts_at_s, intervals.step_s, strict=True
            )
        ]
        if len(set(keys)) < len(keys):
            raise ReadingsRefused("an interval is listed twice")
        values = dict(
            zip(keys, zip(intervals.mean_kw.tolist(), intervals.temp_c.tolist(), strict=True), strict=True)
        )
        if import_id is not None:
            if import_id not in self.layers.open_imports:
                raise ReadingsRefused(f"import {import_id} was not begun, or was taken back")
            self.layers.put(import_id, values)
        added = changed = 0
        with self.around_import(values if import_id is not None else {}):
            for key, value in values.items():
                before = self.imported.get(key)
                self.imported[key] = after = over(value, before or (NAN, NAN))
                added += before is None
                changed += before is not None and not np.array_equal(before, after, equal_nan=True)
        return ImportOutcome(added=added, changed=changed, unchanged=len(keys) - added - changed)

    def prepare_days(self, days_from: datetime, days_to: datetime) -> None:
        self._check()

    def _check(self) -> None:
        if not self.available:
            raise TelemetryStoreUnavailable("made unavailable by the test")
