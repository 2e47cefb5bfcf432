"""Stores readings of an earlier quarter-hour, which a benchmark can then have finalized."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import psycopg

from domain.telemetry.intervals import INTERVAL, INTERVAL_S, interval_start
from domain.telemetry.meter_reading import PARTITIONS, MeterReading, partition_of
from interfaces.bootstrap.stores import Stores
from interfaces.simulators.meters.load_plan import LoadPlan
from tests.bench.environment import BenchEnvironment

METERS, CADENCE_S = 10, 15
"""Per facility."""
PER_FACILITY = METERS * INTERVAL_S // CADENCE_S
_FACILITIES_AT_ONCE = 8

_WITHHOLD = "DELETE FROM unsettled_quarters WHERE starts_with(facility_id, %s)"
_NOTE = """
INSERT INTO gridproof.unsettled_quarters (facility_id, starts_at, partition)
SELECT facility_id, %s, partition FROM unnest(%s::text[], %s::smallint[]) f (facility_id, partition)
"""
_UNSETTLED = (
    "SELECT count(*) FROM gridproof.unsettled_quarters WHERE starts_with(facility_id, %s) AND starts_at = %s"
)


class History(msgspec.Struct, frozen=True):
    """A past quarter-hour that is not finalized."""

    run: str
    starts_at: datetime
    facility_ids: tuple[str, ...]

    @property
    def readings(self) -> int:
        return len(self.facility_ids) * PER_FACILITY

    def start_finalizing(self, connection: psycopg.Connection) -> None:
        """Make the quarter-hours visible to the finalizer."""
        partitions = [partition_of(facility_id) for facility_id in self.facility_ids]
        connection.execute(_NOTE, (self.starts_at, list(self.facility_ids), partitions))

    def unfinalized(self, connection: psycopg.Connection) -> int:
        row = connection.execute(_UNSETTLED, (f"{self.run}-", self.starts_at)).fetchone()
        return int(str(row[0])) if row else 0


def stored_history(env: BenchEnvironment, stores: Stores, run: str, readings: int) -> History:
    """Store about this many readings. No finalizer may be running yet."""
    history = History(
        run=run,
        starts_at=interval_start(stores.clock.now()) - 3 * INTERVAL,
        facility_ids=tuple(f"{run}-{n:06}" for n in range(max(1, round(readings / PER_FACILITY)))),
    )
    env.report(f"ingest: storing {history.readings} readings of an earlier quarter-hour")
    store = stores.telemetry()
    for partition, some in _by_partition(history.facility_ids):
        store.write_readings(partition, 0, [r for f in some for r in quarter_of(f, history.starts_at)])
    with stores.pool.connection() as connection:
        connection.execute(_WITHHOLD, (f"{run}-",))
    return history


def first_words(plan: LoadPlan) -> list[MeterReading]:
    """One reading per facility without a sequence number, which the audit ignores. After it `aggregate` has marked the
    facility's quarter-hour as changed, as in all but the first seconds of a quarter-hour."""
    firsts: dict[str, str] = {}
    for number in range(0, plan.meters, plan.gateway):
        firsts.setdefault(*plan.named(number))
    return [MeterReading(facility, meter, plan.started_at, 1.0, None) for facility, meter in firsts.items()]


def _by_partition(facility_ids: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    for partition in range(PARTITIONS):
        mine = [facility_id for facility_id in facility_ids if partition_of(facility_id) == partition]
        for first in range(0, len(mine), _FACILITIES_AT_ONCE):
            yield partition, mine[first : first + _FACILITIES_AT_ONCE]


def quarter_of(facility_id: str, starts_at: datetime) -> list[MeterReading]:
    """A quarter-hour of readings of a facility's meters."""
    return [
        MeterReading(
            facility_id,
            f"m{meter:02}",
            starts_at + timedelta(seconds=n * CADENCE_S),
            10.0 + meter,
            n * CADENCE_S / 3600 * (10.0 + meter),
            n,
        )
        for n in range(INTERVAL_S // CADENCE_S)
        for meter in range(METERS)
    ]
