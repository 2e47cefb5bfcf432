"""Lists the meters of a load in the portfolio, for servers on which no projection runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import psycopg

from adapters.postgres.read_model.row_table import RowTable
from domain.facility import FacilityStatus
from interfaces.simulators.meters.load_plan import LoadPlan
from projections.facility import FacilitiesProjection, FacilityRow, key_of

_CHANGED = """
INSERT INTO gridproof.projection_positions (name, version, updated_at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET updated_at = clock_timestamp() RETURNING generation
"""


def list_meters(dsn: str, plan: LoadPlan) -> None:
    """Write the rows that the projection would write. Importing so many facilities would take minutes."""
    _put(dsn, plan.listed_meters())


def list_facility(
    dsn: str, facility_id: str, meters: Collection[str], status: FacilityStatus = "active"
) -> None:
    """The same for one facility."""
    _put(dsn, {facility_id: meters}, status)


def _put(dsn: str, listed: Mapping[str, Collection[str]], status: FacilityStatus = "active") -> None:
    projection = FacilitiesProjection()
    with psycopg.connect(dsn) as connection:
        (generation,) = connection.execute(_CHANGED, (projection.name, projection.version)).fetchone() or (1,)
        rows = RowTable(connection, projection, generation)
        rows.write({key_of(one): (_row(one, mine, status), 0) for one, mine in listed.items()})


def _row(facility_id: str, meters: Collection[str], status: FacilityStatus) -> FacilityRow:
    now = datetime.now(UTC)
    return FacilityRow(
        facility_id=facility_id,
        tz="UTC",
        latitude=0.0,
        longitude=0.0,
        weather_cell="load",
        status=status,
        meters=tuple(sorted(meters)),
        registered_at=now,
        changed_at=now,
    )
