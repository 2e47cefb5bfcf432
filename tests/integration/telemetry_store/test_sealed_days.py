"""Local days are sealed on a real PostgreSQL: the digest is that of what readers see, finalized or not."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg_pool import ConnectionPool

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
from adapters.postgres.telemetry.store import PostgresTelemetryStore
from application.event_store.demand_response import DemandResponse
from application.telemetry.sealing.day_sealer import DaySealer
from domain.facility import Location, Locations
from domain.telemetry.meter_reading import MeterReading, partition_of
from domain.telemetry.sealed_readings import DaySeals, final_at
from domain.time_series.windows import local_day
from interfaces.workers.compute.failing_subjects import FailingSubjects
from interfaces.workers.compute.sealing import ALERT, RETRY_S, RIPE_AFTER, SealedSite, Sealing
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.servers import Database

FACILITY, TZ, DAY = "fac-001", ZoneInfo("America/New_York"), date(2026, 7, 13)
WINDOW = local_day(DAY, TZ)


def readings(starts_at: datetime, quarters: int, kw: float) -> list[MeterReading]:
    """One each minute, but for a hole in every quarter-hour: its coverage is a third."""
    return [
        MeterReading(FACILITY, "main", starts_at + timedelta(minutes=15 * quarter + n), kw + n / 3, None)
        for quarter in range(quarters)
        for n in range(10)
    ]


def test_a_day_is_sealed_as_readers_see_it_and_again_after_a_correction(database: Database) -> None:
    clock = FakeClock(final_at(DAY, TZ))
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=4, open=True) as pool:
        telemetry, rollups = PostgresTelemetryStore(pool, clock), PostgresTelemetryRollups(pool, clock)
        site = SealedSite(FACILITY, Locations(Location(tz=TZ.key, weather_cell="default")))
        sealing = Sealing(
            sites=lambda: [site],
            corrections=rollups,
            positions=PostgresReaderPositions(pool),
            store=store,
            sealer=DaySealer(store, telemetry, clock),
            clock=clock,
            failing=FailingSubjects(FakeAlertRegistry(), clock, alert=ALERT, retry_s=RETRY_S),
        )
        telemetry.write_readings(partition_of(FACILITY), 1, readings(WINDOW.starts_at, 96, 600.0))
        assert sealing.pass_once() == 1  # nothing is finalized yet: the worker is far behind

        while rollups.finalize(partition_of(FACILITY), limit=1_000).quarters:
            pass
        clock.moment += RIPE_AFTER
        assert rollups.corrections_after(0, limit=1_000), "finalized late, each is a correction"
        assert sealing.pass_once() == 0, "with the values that are sealed"

        late = readings(WINDOW.starts_at + timedelta(hours=12), 1, 900.0)
        telemetry.write_readings(partition_of(FACILITY), 2, [_revised(one) for one in late])
        rollups.finalize(partition_of(FACILITY), limit=1_000)
        clock.moment += RIPE_AFTER
        assert sealing.pass_once() == 1
        assert sealing.pass_once() == 0
    recorded = [entry.domain_event for entry in store.read_after(0, 100)]
    seals = [one for one in recorded if isinstance(one, DaySeals.Sealed)]
    assert [(one.day, one.revision, one.digest.known) for one in seals] == [(DAY, 1, 96), (DAY, 2, 96)]
    assert seals[0].digest != seals[1].digest
    store.close()


def _revised(reading: MeterReading) -> MeterReading:
    return MeterReading(
        reading.facility_id, reading.meter_id, reading.ts, reading.kw, reading.kwh_total, revision=1
    )
