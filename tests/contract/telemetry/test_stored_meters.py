"""The contract of StoredMeters: PostgreSQL and the fake; InfluxDB lists meters and removes none."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg_pool import ConnectionPool

from adapters.influxdb.store import InfluxTelemetryStore
from adapters.influxdb.stored_meters import InfluxStoredMeters
from adapters.postgres.telemetry.external_progress import PostgresTelemetryProgress
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from adapters.postgres.telemetry.stored_meters import PostgresStoredMeters
from application.ports.telemetry.rollups import TelemetryRollups
from application.ports.telemetry.store import TelemetryStore
from application.ports.telemetry.stored_meters import (
    ReadingRemoval,
    RemovalNotSupported,
    StoredExtent,
    StoredMeters,
)
from domain.telemetry.meter_reading import MeterReading, partition_of
from domain.time_series.windows import TimeWindow
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.fakes.telemetry.stored_meters import FakeStoredMeters
from tests.influxdb_server import influx_connection
from tests.stored_intervals import coverage, interval_series

T0 = datetime(2026, 7, 14, 23, 0, tzinfo=UTC)
"""Shortly before midnight, so that a meter has readings on two days."""
HOURS = TimeWindow(T0, T0 + timedelta(hours=4))
PARTITION = partition_of("fac")
STRAY = ReadingRemoval(
    act_id=UUID(int=1),
    facility_id="fac",
    meter_id="stray",
    reason="a typo",
    removed_at=T0 + timedelta(days=3),
)


@dataclass
class Telemetry:
    store: TelemetryStore
    meters: StoredMeters
    rollups: TelemetryRollups
    clock: FakeClock

    def write(self, *readings: MeterReading) -> None:
        self.store.write_readings(PARTITION, 1, readings)

    def finalize(self) -> None:
        self.rollups.finalize(PARTITION, limit=1_000)

    def mean_kw(self) -> dict[int, float]:
        """Quarter-hour after T0 -> mean kW of the facility, where it is known."""
        found = self.rollups.rollups("fac", HOURS, 900)
        return {
            int((start - T0) / timedelta(minutes=15)): kw
            for start, kw in zip(found.starts_at, found.columns.mean_kw.tolist(), strict=True)
            if kw == kw  # noqa: PLR0124 - not NaN
        }


def opened(request: pytest.FixtureRequest, kind: str) -> Iterator[Telemetry]:
    clock = FakeClock(T0)
    if kind == "fake":
        store = FakeTelemetryStore()
        yield Telemetry(store, FakeStoredMeters(store), FakeTelemetryRollups(store, clock), clock)
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        if kind == "postgres":
            rollups = PostgresTelemetryRollups(pool, clock)
            yield Telemetry(
                PostgresTelemetryStore(pool, clock), PostgresStoredMeters(pool, clock), rollups, clock
            )
            return
        with influx_connection(request.getfixturevalue("influxd")) as connection:
            progress = PostgresTelemetryProgress(pool, clock)
            influx = InfluxTelemetryStore(connection, progress, clock, raw_days=3_650)
            yield Telemetry(influx, InfluxStoredMeters(connection), influx, clock)


@pytest.fixture(params=["fake", "postgres", "influxdb"])
def telemetry(request: pytest.FixtureRequest) -> Iterator[Telemetry]:
    yield from opened(request, request.param)


@pytest.fixture(params=["fake", "postgres"])
def removing(request: pytest.FixtureRequest) -> Iterator[Telemetry]:
    """A listed meter with 10 kW for four hours, and a stray with 50 kW for the first two."""
    for one in opened(request, request.param):
        one.write(*readings("main", 10.0, hours=4), *readings("stray", 50.0, hours=2))
        yield one


def readings(meter_id: str, kw: float, *, hours: float) -> list[MeterReading]:
    return [
        MeterReading("fac", meter_id, T0 + timedelta(seconds=60 * n), kw, None)
        for n in range(int(hours * 60))
    ]


def test_meters_are_listed_with_their_newest_values(telemetry: Telemetry) -> None:
    telemetry.write(*readings("main", 10.0, hours=1), *readings("old", 5.0, hours=0.1))
    telemetry.write(MeterReading("other", "m", T0, 1.0, None))
    found = {one.meter_id: (one.newest_reading_at, one.kw) for one in telemetry.meters.meters("fac")}
    assert found == {
        "main": (T0 + timedelta(minutes=59), 10.0),
        "old": (T0 + timedelta(minutes=5), 5.0),
    }
    assert telemetry.meters.meters("nobody") == []


def test_the_extent_of_a_meter_is_counted(removing: Telemetry) -> None:
    assert removing.meters.extent("fac", "stray") == StoredExtent(
        readings=120, first_at=T0, newest_at=T0 + timedelta(minutes=119)
    )
    assert removing.meters.extent("fac", "nobody") is None


@pytest.mark.parametrize("is_finalized", [False, True])
def test_after_a_removal_everything_is_as_if_the_meter_had_never_sent(
    removing: Telemetry, *, is_finalized: bool
) -> None:
    removing.clock.advance(hours=30)
    if is_finalized:
        removing.finalize()
        assert [removing.mean_kw()[n] for n in (0, 7)] == [60.0, 60.0]
    assert removing.meters.remove(STRAY) == 120
    removing.finalize()
    assert removing.mean_kw() == dict.fromkeys(range(16), 10.0)
    assert [one.meter_id for one in removing.meters.meters("fac")] == ["main"]
    [value] = removing.store.current(["fac"])
    assert (value.kw, [one.meter_id for one in value.meters]) == (10.0, ["main"])
    assert removing.meters.extent("fac", "stray") is None
    assert coverage(removing.store, "fac", HOURS) == pytest.approx(100.0)


def test_a_removal_is_a_correction_of_finalized_quarter_hours(removing: Telemetry) -> None:
    removing.clock.advance(hours=30)
    removing.finalize()
    before = removing.rollups.corrections_after(0, limit=1_000)
    removing.meters.remove(STRAY)
    removing.finalize()
    last = before[-1].correction_id if before else 0
    corrections = removing.rollups.corrections_after(last, limit=1_000)
    changed = {(one.starts_at, one.old_mean_kw, one.new_mean_kw) for one in corrections}
    assert {(T0 + timedelta(minutes=15 * n), 60.0, 10.0) for n in range(8)} <= changed
    assert {one.new_mean_kw for one in corrections} == {10.0}


def test_a_removal_is_listed_with_its_reason_and_repeating_it_removes_nothing(removing: Telemetry) -> None:
    removing.meters.remove(STRAY)
    assert removing.meters.remove(STRAY) == 0
    assert STRAY in removing.meters.removals("fac")
    assert removing.meters.removals("other") == []


def test_where_only_the_stray_sent_nothing_is_left(request: pytest.FixtureRequest) -> None:
    for telemetry in opened(request, "postgres"):
        telemetry.write(*readings("stray", 50.0, hours=2))
        telemetry.clock.advance(hours=30)
        telemetry.finalize()
        before = telemetry.rollups.corrections_after(0, limit=1_000)
        telemetry.meters.remove(STRAY)
        telemetry.finalize()
        assert telemetry.mean_kw() == {}
        assert interval_series(telemetry.store, "fac", HOURS).values.tolist() == pytest.approx(
            [float("nan")] * 16, nan_ok=True
        )
        corrections = telemetry.rollups.corrections_after(before[-1].correction_id, limit=1_000)
        assert [(one.old_mean_kw, one.new_mean_kw) for one in corrections] == [(50.0, None)] * 8


def test_influxdb_names_its_own_tools_instead(request: pytest.FixtureRequest) -> None:
    for telemetry in opened(request, "influxdb"):
        with pytest.raises(RemovalNotSupported, match="meter_id stray"):
            telemetry.meters.remove(STRAY)
        assert list(telemetry.meters.removals("fac")) == []
