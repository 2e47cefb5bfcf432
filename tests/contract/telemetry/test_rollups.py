"""The contract of TelemetryRollups: PostgreSQL's and the fake's, compared with the simple code of
tests/reference_rollups.py."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg_pool import ConnectionPool

from adapters.influxdb.store import InfluxTelemetryStore
from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.rollups import FinalizeResult, TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from domain.telemetry.facility_rollups import RollupSeries
from domain.telemetry.meter_reading import MeterReading, partition_of
from domain.time_series.windows import NotAligned, TimeWindow
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.influxdb_server import influx_connection
from tests.reference_rollups import ReferenceRollup, reference_rollup, winners

T0 = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
"""Two hours before Europe's clocks go back: the local hour from 1:00 UTC on is repeated, the UTC hours are
not."""
NAMES = ReferenceRollup.__dataclass_fields__


@dataclass
class SetClock:
    at: datetime = T0

    def now(self) -> datetime:
        return self.at

    def wall_seconds(self, clock_seconds: float) -> float:
        return clock_seconds


@dataclass
class Telemetry:
    store: TelemetryStore
    rollups: TelemetryRollups
    clock: SetClock
    seq: int = 0
    facility_ids: set[str] = field(default_factory=set)

    def write(self, readings: Sequence[MeterReading]) -> None:
        self.seq += 1
        by_partition: dict[int, list[MeterReading]] = {}
        for r in readings:
            by_partition.setdefault(partition_of(r.facility_id), []).append(r)
            self.facility_ids.add(r.facility_id)
        for partition, some in by_partition.items():
            self.store.write_readings(partition, self.seq, some)

    def finalize(self, *, limit: int = 1_000) -> FinalizeResult:
        each = [self.rollups.finalize(p, limit=limit) for p in {partition_of(f) for f in self.facility_ids}]
        return FinalizeResult(
            quarters=sum(s.quarters for s in each), corrected=sum(s.corrected for s in each)
        )


@pytest.fixture(params=["fake", "postgres", "influxdb"])
def telemetry(request: pytest.FixtureRequest) -> Iterator[Telemetry]:
    clock = SetClock()
    if request.param == "fake":
        store = FakeTelemetryStore()
        yield Telemetry(store, FakeTelemetryRollups(store, clock), clock)
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        if request.param == "postgres":
            yield Telemetry(PostgresTelemetryStore(pool, clock), PostgresTelemetryRollups(pool, clock), clock)
            return
        with influx_connection(request.getfixturevalue("influxd")) as connection:
            progress = PostgresTelemetryProgress(pool, clock)
            influx = InfluxTelemetryStore(connection, progress, clock, raw_days=3_650)
            yield Telemetry(influx, influx, clock)


def steady(
    start_s: int, end_s: int, kw: float = 10.0, *, meter: str = "m1", **fields: Any
) -> list[MeterReading]:
    """Readings every 15 s with a consistent register."""
    return [
        MeterReading(
            fields.get("facility", "fac"), meter, T0 + timedelta(seconds=s), kw, 500.0 + s * kw / 3_600
        )
        for s in range(start_s, end_s, 15)
    ]


def after(**delta: float) -> datetime:
    return T0 + timedelta(**delta)


def series(telemetry: Telemetry, step_s: int, hours: int = 1, facility: str = "fac") -> RollupSeries:
    return telemetry.rollups.rollups(facility, TimeWindow(T0, after(hours=hours)), step_s)


def shown(found: RollupSeries) -> list[tuple[Any, ...]]:
    columns = [getattr(found.columns, name).tolist() for name in found.columns.__struct_fields__]
    return [tuple(row) for row in zip(found.starts_at, *columns, strict=True)]


def test_rollups_of_every_step_are_available_at_once_and_unchanged_by_finalization(
    telemetry: Telemetry,
) -> None:
    telemetry.write([*steady(0, 3_660), *steady(0, 3_660, 5.0, meter="m2")])
    before = [shown(series(telemetry, step)) for step in (60, 900, 3600)]
    assert [len(rows) for rows in before] == [60, 4, 1]
    assert before[2][0] == (T0, 15.0, pytest.approx(15.0), 15.0, 15.0, 100.0, 480, 0)
    telemetry.clock.at = after(hours=2)
    assert telemetry.finalize().quarters >= 5
    assert [shown(series(telemetry, step)) for step in (60, 900, 3600)] == before
    assert telemetry.finalize() == FinalizeResult()


def test_extremes_are_the_sums_of_the_extremes_of_each_meter(telemetry: Telemetry) -> None:
    readings = [msgspec.structs.replace(r, kw=float(n % 3)) for n, r in enumerate(steady(0, 900))]
    telemetry.write([*readings, *steady(0, 900, 5.0, meter="m2")])
    found = series(telemetry, 900).columns
    assert (found.min_kw.tolist(), found.max_kw.tolist()) == ([5.0], [7.0])


def test_estimates_count_and_are_counted(telemetry: Telemetry) -> None:
    kinds = ("estimated", "substituted", "measured", "bad")
    readings = [msgspec.structs.replace(r, quality=kinds[n % 4]) for n, r in enumerate(steady(0, 900))]
    telemetry.write(readings)
    found = series(telemetry, 900).columns
    assert (found.readings.tolist(), found.replaced.tolist()) == ([45], [30])


def test_only_ended_quarter_hours_are_finalized(telemetry: Telemetry) -> None:
    telemetry.write(steady(0, 900))
    telemetry.clock.at = after(minutes=5)
    assert telemetry.finalize() == FinalizeResult()
    telemetry.clock.at = after(minutes=21)
    assert telemetry.finalize().quarters > 0


def test_a_late_reading_corrects_a_finalized_rollup_and_is_reported_once(telemetry: Telemetry) -> None:
    telemetry.write([r for r in steady(0, 900) if r.ts != after(seconds=150)])
    telemetry.clock.at = after(minutes=45)
    assert telemetry.finalize().corrected == 0
    telemetry.write([MeterReading("fac", "m1", after(seconds=150), 70.0, None)])
    assert series(telemetry, 900).columns.mean_kw.tolist() == [11.0]
    assert telemetry.finalize().corrected == 1
    (correction,) = telemetry.rollups.corrections_after(0, limit=10)
    assert (correction.facility_id, correction.starts_at) == ("fac", T0)
    assert (correction.old_mean_kw, correction.new_mean_kw) == (10.0, 11.0)
    assert correction.corrected_at == after(minutes=45)
    assert telemetry.finalize() == FinalizeResult()
    assert telemetry.rollups.corrections_after(correction.correction_id, limit=10) == []
    assert series(telemetry, 900).columns.mean_kw.tolist() == [11.0]


def test_a_gap_filled_long_after_its_end_is_a_correction(telemetry: Telemetry) -> None:
    telemetry.clock.at = after(hours=5)
    telemetry.write(steady(0, 900))
    assert telemetry.finalize().corrected == 1
    (correction,) = telemetry.rollups.corrections_after(0, limit=10)
    assert (correction.old_mean_kw, correction.new_mean_kw) == (None, 10.0)


def test_a_retracted_reading_removes_its_minute(telemetry: Telemetry) -> None:
    lone = MeterReading("fac", "m1", after(seconds=630), 9.0, None)
    telemetry.write([*steady(0, 300), lone])
    telemetry.clock.at = after(minutes=45)
    telemetry.finalize()
    assert after(seconds=600) in series(telemetry, 60).starts_at
    telemetry.write([msgspec.structs.replace(lone, quality="bad", revision=1)])
    for _ in range(2):
        assert after(seconds=600) not in series(telemetry, 60).starts_at
        telemetry.finalize()


def test_the_first_late_reading_of_a_meter_corrects_finalized_rollups(telemetry: Telemetry) -> None:
    """The finalized sum covered one meter only. Where the second meter has no readings, it becomes
    missing."""
    telemetry.write(steady(0, 2_700))
    telemetry.clock.at = after(hours=1, minutes=30)
    telemetry.finalize()
    assert series(telemetry, 900).columns.mean_kw.tolist() == [10.0, 10.0, 10.0]
    telemetry.write(steady(0, 900, 4.0, meter="m2"))
    telemetry.finalize()
    telemetry.finalize()
    values = series(telemetry, 900).columns.mean_kw
    assert values[0] == 14.0
    assert np.isnan(values[1:]).all()


def test_an_unsupported_step_is_refused(telemetry: Telemetry) -> None:
    with pytest.raises(NotAligned):
        series(telemetry, 300)


def test_every_hour_of_a_night_with_a_clock_change_is_a_full_hour(telemetry: Telemetry) -> None:
    """Rollups are in UTC, which has no days of 23 or 25 hours. A local day consists of UTC hours."""
    telemetry.write(steady(0, 5 * 3_600))
    telemetry.clock.at = after(hours=6)
    telemetry.finalize()
    hours = series(telemetry, 3600, hours=5)
    assert hours.starts_at == tuple(after(hours=n) for n in range(5))
    assert hours.columns.kwh == pytest.approx([10.0] * 5)


powers = st.sampled_from([None, 0.0, 5.0, 12.5, -3.0])
registers = st.sampled_from([None, 100.0, 100.5, 101.0, 99_999.9, 0.25])
words = st.builds(
    lambda facility, meter, quarter, step, kw, kwh, quality, revision: MeterReading(
        facility, meter, after(seconds=900 * quarter + 75 * step), kw, kwh, None, quality, revision=revision
    ),
    st.sampled_from(["fac", "other"]),
    st.sampled_from(["m1", "m2"]),
    st.sampled_from([0, 1, 2, 3, 97, 98]),
    st.integers(0, 11),
    powers,
    registers,
    st.sampled_from(["measured", "measured", "estimated", "bad", "missing"]),
    st.integers(0, 2),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    readings=st.lists(words, min_size=1, max_size=30),
    batches=st.integers(1, 5),
    settled=st.lists(st.tuples(st.integers(0, 100), st.sampled_from([1, 2, 50])), max_size=3),
    data=st.data(),
)
def test_rollups_equal_the_reference_for_any_order_of_repeats_and_corrections(
    telemetry: Telemetry,
    readings: list[MeterReading],
    batches: int,
    settled: list[tuple[int, int]],
    data: st.DataObject,
) -> None:
    number = telemetry.seq = telemetry.seq + 1
    # New facilities: from then on a worker assumes that no clock goes back by more than a minute.
    telemetry.clock.at = after(hours=data.draw(st.sampled_from([0, 30, 200])))
    mine = [
        msgspec.structs.replace(r, facility_id=f"{r.facility_id}-{number}")
        for r in readings
        if r.kw is not None or r.kwh_total is not None or r.quality in ("bad", "missing")
    ]
    arriving = data.draw(st.permutations([*mine, *mine[: len(mine) // 2]]))
    size = len(arriving) // batches + 1
    for n in range(0, len(arriving), size):
        telemetry.write(arriving[n : n + size])
        for hour, limit in settled:
            telemetry.clock.at = max(telemetry.clock.at, after(hours=hour))
            telemetry.finalize(limit=limit)
    _hold_against_plain_code(telemetry, winners(mine))
    telemetry.clock.at = after(hours=200)
    for _ in range(100):
        if telemetry.finalize() == FinalizeResult():
            break
    _hold_against_plain_code(telemetry, winners(mine))


def _hold_against_plain_code(telemetry: Telemetry, readings: list[MeterReading]) -> None:
    for facility in {r.facility_id for r in readings}:
        for step_s in (60, 900, 3600):
            found = telemetry.rollups.rollups(facility, TimeWindow(T0, after(hours=26)), step_s)
            expected = {
                start: plain
                for n in range(26 * 3_600 // step_s)
                if (plain := reference_rollup(readings, facility, start := after(seconds=n * step_s), step_s))
            }
            assert list(found.starts_at) == sorted(expected)
            for k, start in enumerate(found.starts_at):
                for name in NAMES:
                    value, plain_value = getattr(found.columns, name)[k], getattr(expected[start], name)
                    if plain_value is None:
                        assert np.isnan(value), (start, name)
                    else:
                        assert value == pytest.approx(plain_value, abs=2e-3), (start, name)
