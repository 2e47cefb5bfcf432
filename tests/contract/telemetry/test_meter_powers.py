"""The contract of MeterPowersView, and histories computed from it: PostgreSQL, InfluxDB and the fake."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.influxdb.meter_powers import InfluxMeterPowers
from adapters.influxdb.store import InfluxTelemetryStore
from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress
from adapters.postgres.telemetry.meter_powers import PostgresMeterPowers
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.ports.telemetry.meter_powers import MeterPowersView
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from application.telemetry.load_history import HistorySources, load_histories
from domain.telemetry.load_history import history_from_readings
from domain.telemetry.meter_reading import MeterReading
from domain.time_series.windows import TimeWindow
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry.meter_powers import FakeMeterPowers
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.influxdb_server import influx_connection

T0 = datetime(2026, 7, 14, 0, 30, tzinfo=UTC)
"""Soon after midnight: the day before is in another partition."""
HOUR = TimeWindow(T0, T0 + timedelta(hours=1))


@dataclass
class Telemetry:
    store: TelemetryStore
    powers: MeterPowersView
    rollups: TelemetryRollups
    clock: FakeClock

    def write(self, *readings: MeterReading) -> None:
        self.store.write_readings(3, 1, readings)


@pytest.fixture(params=["fake", "postgres", "influxdb"])
def telemetry(request: pytest.FixtureRequest) -> Iterator[Telemetry]:
    clock = FakeClock(T0)
    if request.param == "fake":
        store = FakeTelemetryStore()
        yield Telemetry(store, FakeMeterPowers(store), FakeTelemetryRollups(store, clock), clock)
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        if request.param == "postgres":
            postgres = PostgresTelemetryStore(pool, clock)
            yield Telemetry(postgres, PostgresMeterPowers(pool), PostgresTelemetryRollups(pool, clock), clock)
            return
        with influx_connection(request.getfixturevalue("influxd")) as connection:
            progress = PostgresTelemetryProgress(pool, clock)
            influx = InfluxTelemetryStore(connection, progress, clock, raw_days=3_650)
            yield Telemetry(influx, InfluxMeterPowers(connection), influx, clock)


def said(
    after_s: float, kw: float | None = 10.0, *, facility: str = "fac", meter: str = "m1", **fields: Any
) -> MeterReading:
    kwh_total = fields.pop("kwh_total", 1_000.0)
    return MeterReading(facility, meter, T0 + timedelta(seconds=after_s), kw, kwh_total, **fields)


def test_usable_powers_are_returned_in_order_from_a_quarter_hour_before_to_the_end(
    telemetry: Telemetry,
) -> None:
    telemetry.write(said(15.25, 2.0), said(0, 1.0), said(-900, 0.5), said(-901, 9.0), said(3_599, 3.0))
    telemetry.write(
        said(3_600, 9.0), said(30, None), said(45, 9.0, quality="bad"), said(5, 8.0, facility="other")
    )
    (one,) = telemetry.powers.meter_powers("fac", HOUR)
    assert one.offset_s.tolist() == [-900.0, 0.0, 15.25, 3_599.0]
    assert one.kw.tolist() == [0.5, 1.0, 2.0, 3.0]
    assert (one.first_at, one.newest_at) == (T0 - timedelta(seconds=901), T0 + timedelta(seconds=3_599))


def test_a_meter_with_any_reading_in_the_day_before_is_listed_without_powers(telemetry: Telemetry) -> None:
    telemetry.write(
        said(-86_400, 1.0, meter="a"),
        said(-86_401, 1.0, meter="b"),
        said(60, None, meter="c"),
        said(60, meter="d"),
    )
    found = telemetry.powers.meter_powers("fac", HOUR)
    assert [(one.meter_id, one.kw.tolist()) for one in found] == [("a", []), ("c", []), ("d", [10.0])]


def test_a_corrected_reading_is_returned_as_corrected(telemetry: Telemetry) -> None:
    telemetry.write(said(0, 1.0))
    telemetry.write(said(0, 7.0, revision=1))
    (one,) = telemetry.powers.meter_powers("fac", HOUR)
    assert one.kw.tolist() == [7.0]


def test_a_facility_without_readings_has_no_meter_powers(telemetry: Telemetry) -> None:
    assert telemetry.powers.meter_powers("fac", HOUR) == []


def test_a_day_of_four_meters_is_returned_in_one_call(telemetry: Telemetry) -> None:
    """A day is the maximum length of a history in steps of 15 s."""
    telemetry.write(*(said(s, float(n), meter=f"m{n}") for n in range(4) for s in range(0, 86_400, 60)))
    day = TimeWindow(T0, T0 + timedelta(days=1))
    found = history_from_readings(day, 15, telemetry.powers.meter_powers("fac", day))
    assert found.mean_kw.tolist() == [6.0] * 5_760


def test_every_resolution_gives_the_same_load_before_and_after_finalization(telemetry: Telemetry) -> None:
    sources = HistorySources(telemetry.store, telemetry.rollups, telemetry.powers)
    window = TimeWindow(T0 + timedelta(minutes=30), T0 + timedelta(minutes=90))
    powers = {"m1": 8.0, "m2": 4.0}
    telemetry.write(
        *(said(s, kw, kwh_total=None, meter=m) for m, kw in powers.items() for s in range(0, 7_200, 15))
    )
    for _ in range(2):
        for step_s in (15, 60, 900, 3_600):
            found = load_histories(sources, ["fac"], window, step_s)["fac"]
            assert len(found.mean_kw) == 3_600 // step_s
            assert found.mean_kw == pytest.approx(12.0)
            assert found.kwh.sum() == pytest.approx(12.0)
            assert (found.min_kw.max(), found.max_kw.min()) == (12.0, 12.0)
            assert found.coverage_pct == pytest.approx(100.0)
        telemetry.clock.advance(seconds=86_400)
        telemetry.rollups.finalize(3, limit=1_000)
