"""InfluxDB returns what PostgreSQL returns, in any order of arrival, and recovers from an interrupted
write."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from psycopg_pool import ConnectionPool
from structlog.testing import capture_logs

from adapters.influxdb import connection as connections
from adapters.influxdb.connection import InfluxConnection
from adapters.influxdb.store import InfluxTelemetryStore
from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.store import ReadingsRefused, TelemetryStoreUnavailable
from domain.telemetry.facility_rollups import RollupSeries
from domain.telemetry.meter_reading import MeterReading, Quality
from domain.time_series.windows import TimeWindow
from tests.fakes.clock import FakeClock
from tests.influxdb_server import Faults, InfluxServer, influx_connection
from tests.servers import Database, PostgresServer, fresh_database
from tests.stored_intervals import interval_series

T0 = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)
HOURS = TimeWindow(T0, T0 + timedelta(hours=3))
FACILITIES = ["a", "b"]
QUALITIES: list[Quality] = [*(["measured"] * 6), "estimated", "bad"]  # type: ignore[list-item]


class Stores:
    """Both stores with one clock. Each has its own database for its progress."""

    def __init__(
        self, postgres: ConnectionPool[Any], beside: ConnectionPool[Any], influx: InfluxConnection
    ) -> None:
        self.clock = FakeClock(T0)
        self.postgres = PostgresTelemetryStore(postgres, self.clock)
        self.postgres_rollups = PostgresTelemetryRollups(postgres, self.clock)
        self.progress = PostgresTelemetryProgress(beside, self.clock)
        self.connection = influx
        self.influx = InfluxTelemetryStore(influx, self.progress, self.clock, raw_days=3_650)

    def write(self, readings: Sequence[MeterReading]) -> None:
        self.postgres.write_readings(0, 1, readings)
        self.influx.write_readings(0, 1, readings)

    def finalize(self) -> None:
        while self.postgres_rollups.finalize(0, limit=7).quarters:
            continue
        while self.influx.finalize(0, limit=7).quarters:
            continue

    def agree(self) -> None:
        assert self.postgres.current(FACILITIES) == self.influx.current(FACILITIES)
        assert self.postgres.newest_readings_at(FACILITIES) == self.influx.newest_readings_at(FACILITIES)
        ours, theirs = (s.interval_series_of(FACILITIES, HOURS) for s in (self.influx, self.postgres))
        np.testing.assert_allclose(ours.mean_kw, theirs.mean_kw, rtol=1e-9)
        np.testing.assert_allclose(ours.coverage_pct, theirs.coverage_pct, rtol=1e-6)
        for facility_id in FACILITIES:
            for step_s in (60, 900, 3_600):
                asked = (facility_id, HOURS, step_s)
                same_rollups(self.influx.rollups(*asked), self.postgres_rollups.rollups(*asked))

    def corrections(self) -> None:
        ours, theirs = (
            [
                (c.facility_id, c.starts_at, c.old_mean_kw, c.new_mean_kw)
                for c in found.corrections_after(0, limit=999)
            ]
            for found in (self.influx, self.postgres_rollups)
        )
        assert sorted(ours, key=repr) == sorted(theirs, key=repr)


def same_rollups(ours: RollupSeries, theirs: RollupSeries) -> None:
    assert ours.starts_at == theirs.starts_at
    for name in ours.columns.__struct_fields__:
        mine, other = getattr(ours.columns, name), getattr(theirs.columns, name)
        np.testing.assert_allclose(mine, other, rtol=1e-6, err_msg=f"{name} of {ours.step_s} s")


@contextmanager
def opened(influxd: InfluxServer, database: Database, beside: Database) -> Iterator[Stores]:
    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as one,
        ConnectionPool[Any](beside.app_dsn, min_size=1, max_size=2) as other,
        influx_connection(influxd) as connection,
    ):
        yield Stores(one, other, connection)


@pytest.fixture
def stores(influxd: InfluxServer, database: Database, postgres_server: PostgresServer) -> Iterator[Stores]:
    with fresh_database(postgres_server) as beside, opened(influxd, database, beside) as both:
        yield both
    influxd.shim.faults = Faults()


def random_readings(draw: random.Random) -> list[MeterReading]:
    """Three hours of some meters, with gaps, register resets, estimates and repeated readings."""
    readings = []
    for facility_id in FACILITIES:
        for meter in range(draw.randint(1, 3)):
            register, spacing_s = draw.choice([100.0, 9_999.9]), draw.choice([15, 60, 300])
            for second in range(draw.choice([0, 3_700]), 10_800, spacing_s):
                if draw.random() < 0.1:
                    continue
                kw = round(draw.uniform(-5, 50), 2)
                register = 0.0 if draw.random() < 0.01 else register + abs(kw) * spacing_s / 3_600
                said = draw.random()
                reading = MeterReading(
                    facility_id,
                    f"m{meter}",
                    T0 + timedelta(seconds=second),
                    kw if said > 0.1 else None,
                    round(register, 3) if said < 0.9 else None,
                    draw.choice([None, second]),
                    draw.choice(QUALITIES),
                )
                readings.append(reading)
                if draw.random() < 0.05:
                    readings.append(_corrected(reading, draw))
    return readings


def _corrected(reading: MeterReading, draw: random.Random) -> MeterReading:
    return MeterReading(
        reading.facility_id,
        reading.meter_id,
        reading.ts,
        round(draw.uniform(0, 50), 2),
        reading.kwh_total,
        reading.seq,
        draw.choice(["measured", "bad"]),
        revision=draw.choice([0, 1, 2]),
    )


@pytest.mark.parametrize("seed", range(2))
def test_both_stores_return_the_same_values_for_the_same_readings(stores: Stores, seed: int) -> None:
    draw = random.Random(seed)
    readings = sorted(random_readings(draw), key=lambda r: r.ts)
    late = [r for r in readings if draw.random() < 0.05]
    for reading in late:
        readings.remove(reading)
    pieces = [readings[n : n + 400] for n in range(0, len(readings), 400)]
    for piece in pieces:
        stores.write(piece)
        stores.clock.moment = piece[-1].ts + timedelta(seconds=30)
        if draw.random() < 0.6:
            stores.finalize()
    stores.agree()
    stores.clock.advance(hours=3)
    stores.finalize()
    stores.agree()
    draw.shuffle(late)
    stores.write([*late, *pieces[0]])
    stores.agree()
    stores.finalize()
    stores.agree()
    stores.corrections()


def test_readings_stored_before_a_crash_are_recorded_by_the_next_attempt(
    stores: Stores, influxd: InfluxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "FIRST_WAIT_S", 0.01)
    readings = [MeterReading("a", "m", T0 + timedelta(seconds=s), 10.0, None) for s in range(0, 900, 15)]
    influxd.shim.faults.lost_answers = connections.ATTEMPTS
    with pytest.raises(TelemetryStoreUnavailable):
        stores.influx.write_readings(0, 7, readings)
    assert stores.influx.position(0) == 0
    assert stores.influx.write_readings(0, 7, readings) == 0
    assert stores.influx.position(0) == 7
    assert interval_series(stores.influx, "a", HOURS).values[0] == 10.0
    stores.clock.advance(hours=1)
    assert stores.influx.finalize(0, limit=100).quarters == 3
    assert interval_series(stores.influx, "a", HOURS).values[0] == 10.0


def test_an_interrupted_finalization_is_repeated(
    stores: Stores, influxd: InfluxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "FIRST_WAIT_S", 0.01)
    readings = [MeterReading("a", "m", T0 + timedelta(seconds=s), 10.0, None) for s in range(0, 1_800, 15)]
    stores.write(readings)
    stores.clock.advance(hours=1)
    influxd.shim.faults.lost_answers = connections.ATTEMPTS
    with pytest.raises(TelemetryStoreUnavailable):
        stores.influx.finalize(0, limit=100)
    stores.finalize()
    stores.agree()
    stores.corrections()


def test_rows_refused_by_influxdb_do_not_move_the_position(stores: Stores, influxd: InfluxServer) -> None:
    influxd.shim.faults.statuses = [400]
    with pytest.raises(ReadingsRefused):
        stores.influx.write_readings(0, 9, [MeterReading("a", "m", T0, 10.0, None)])
    assert stores.influx.position(0) == 0


def test_readings_older_than_the_retention_are_skipped(stores: Stores) -> None:
    short = InfluxTelemetryStore(stores.connection, stores.progress, stores.clock, raw_days=90)
    stores.clock.moment = T0
    before, after = (T0 - timedelta(days=days) for days in (90, 89))
    readings = [MeterReading("a", "m", at, 10.0, None) for at in (before, after)]
    with capture_logs() as logs:
        assert short.write_readings(0, 1, readings) == 1
    assert [one["readings"] for one in logs if "are skipped" in one["event"]] == [1]
    assert short.position(0) == 1
    assert short.newest_reading_at("a") == after
