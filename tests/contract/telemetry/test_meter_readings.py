"""The contract of MeterReadingsView: PostgreSQL, InfluxDB and the fake."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.influxdb.meter_readings import InfluxMeterReadings
from adapters.influxdb.store import InfluxTelemetryStore
from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress
from adapters.postgres.telemetry.meter_readings import PostgresMeterReadings
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.meter_readings import MeterReadingsView
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from domain.telemetry.meter_reading import TRUST, MeterReading
from domain.time_series.windows import TimeWindow
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry.meter_readings import FakeMeterReadings
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.influxdb_server import influx_connection

T0 = datetime(2026, 7, 14, 0, 7, tzinfo=UTC)
HOUR = TimeWindow(T0, T0 + timedelta(hours=1))


@dataclass
class Telemetry:
    store: TelemetryStore
    view: MeterReadingsView
    rollups: TelemetryRollups
    clock: FakeClock

    def write(self, *readings: MeterReading) -> None:
        self.store.write_readings(3, 1, readings)

    def read(self, window: TimeWindow = HOUR) -> dict[str, list[tuple[Any, ...]]]:
        """Meter -> (seconds after T0, kW, number, quality, revision) of each reading."""
        return {
            one.meter_id: [
                (us / 1e6 - T0.timestamp(), kw, seq, TRUST[trust], revision)
                for us, kw, seq, trust, revision in zip(
                    one.columns.ts_us.tolist(),
                    one.columns.kw.tolist(),
                    one.columns.seq.tolist(),
                    one.columns.trust.tolist(),
                    one.columns.revision.tolist(),
                    strict=True,
                )
            ]
            for one in self.view.meter_readings("fac", window)
        }


@pytest.fixture(params=["fake", "postgres", "influxdb"])
def telemetry(request: pytest.FixtureRequest) -> Iterator[Telemetry]:
    clock = FakeClock(T0)
    if request.param == "fake":
        store = FakeTelemetryStore()
        yield Telemetry(store, FakeMeterReadings(store), FakeTelemetryRollups(store, clock), clock)
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        if request.param == "postgres":
            postgres = PostgresTelemetryStore(pool, clock)
            rollups = PostgresTelemetryRollups(pool, clock)
            yield Telemetry(postgres, PostgresMeterReadings(pool), rollups, clock)
            return
        with influx_connection(request.getfixturevalue("influxd")) as connection:
            progress = PostgresTelemetryProgress(pool, clock)
            influx = InfluxTelemetryStore(connection, progress, clock, raw_days=3_650)
            yield Telemetry(influx, InfluxMeterReadings(connection), influx, clock)


def said(
    after_s: float, kw: float = 10.0, *, facility: str = "fac", meter: str = "m1", **fields: Any
) -> MeterReading:
    return MeterReading(facility, meter, T0 + timedelta(seconds=after_s), kw, 1_000.0, **fields)


def test_every_reading_of_the_window_is_returned_by_meter_and_time(telemetry: Telemetry) -> None:
    telemetry.write(said(30, 3.0, seq=7), said(0.25, 1.0, seq=5), said(-0.25), said(3_600))
    telemetry.write(
        said(15, 2.0, seq=6, quality="bad"), said(15, 4.0, meter="m0"), said(15, facility="other")
    )
    expected = {
        "m0": [(15, 4.0, -1, "measured", 0)],
        "m1": [
            (0.25, 1.0, 5, "measured", 0),
            (15, 2.0, 6, "bad", 0),
            (30, 3.0, 7, "measured", 0),
        ],
    }
    assert telemetry.read() == expected
    telemetry.clock.advance(seconds=86_400)
    telemetry.rollups.finalize(3, limit=1_000)
    assert telemetry.read() == expected


def test_of_several_readings_for_one_moment_the_one_that_counts_is_returned(telemetry: Telemetry) -> None:
    telemetry.write(said(0, 1.0, seq=1), said(0, 1.0, seq=1))
    telemetry.write(said(0, 7.0, seq=1, revision=2))
    assert telemetry.read() == {"m1": [(0, 7.0, 1, "measured", 2)]}


def test_a_facility_without_readings_has_none(telemetry: Telemetry) -> None:
    assert telemetry.read() == {}


def test_a_window_over_midnight_is_read_in_one_call(telemetry: Telemetry) -> None:
    telemetry.write(*(said(s, meter=f"m{n}") for n in range(3) for s in range(-3_600, 3_600, 60)))
    found = telemetry.read(TimeWindow(T0 - timedelta(hours=1), T0 + timedelta(hours=1)))
    assert {meter_id: len(rows) for meter_id, rows in found.items()} == {"m0": 120, "m1": 120, "m2": 120}
