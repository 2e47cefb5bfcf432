"""Loading an aggregate: by our store, against the SELECT of its rows alone."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg

from domain.event_sourcing import Provenance
from domain.facility import Facility
from interfaces.bench.bed import Bed, BenchDatabase
from interfaces.bench.callers import calls_per_s
from interfaces.bench.figures import Figure, figure

SELECT = (
    b"SELECT * FROM gridproof.demand_response_events WHERE originator_id = %s ORDER BY originator_version"
)
LENGTHS = (10, 49, 120)
"""Short, the longest without a snapshot, and one with snapshots."""


def load_aggregate(bed: Bed) -> list[Figure]:
    """Loads a second by one caller, of streams of 10, 49 and 120 domain events."""
    with bed.database() as database:
        return [_figure(bed, database, length) for length in LENGTHS]


def _figure(bed: Bed, database: BenchDatabase, length: int) -> Figure:
    from interfaces.bootstrap.bench import open_bench_stores

    loads = bed.sized(500, least=5)
    stores = open_bench_stores(database.app_url)
    try:
        facility = _long_stream(f"bench-{length}", length)
        stream_id: UUID = facility.id
        stores.events.save([facility])
        ours = calls_per_s(1, loads, lambda _: stores.events.load(Facility, stream_id))
    finally:
        stores.close()
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        floor = calls_per_s(
            1, loads, lambda _: connection.execute(SELECT, (stream_id,), prepare=True).fetchall()
        )
    return figure(
        f"load-aggregate, {length} domain events",
        unit="loads/s",
        ours=ours,
        floor=floor,
        details={"loads": loads, "floor": "SELECT of the stream's rows by psycopg, not decoded"},
    )


def _long_stream(facility_id: str, length: int) -> Facility:

    provenance = Provenance(
        correlation_id=uuid4(),
        causation_id=uuid4(),
        actor="bench",
        tenant=None,
        trace_id="0" * 32,
        recorded_at=datetime(2026, 7, 14, 12, tzinfo=UTC),
    )
    facility = Facility.register(
        provenance, facility_id=facility_id, tz="UTC", latitude=0, longitude=0, weather_cell="c"
    )
    while facility.version < length:
        if facility.state.status == "active":
            facility.start_maintenance(provenance, reason="bench")
        else:
            facility.end_maintenance(provenance)
    return facility
