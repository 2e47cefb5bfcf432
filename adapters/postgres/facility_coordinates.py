"""Coordinates of facilities in PostgreSQL."""

from collections.abc import Mapping
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.event_store.acts import WallTime, append_acts
from domain.administration import AdministrativeAct
from domain.facility import Coordinates

_PUT = """
INSERT INTO gridproof.facility_coordinates AS stored (facility_id, latitude, longitude)
SELECT * FROM unnest(%(ids)s::text[], %(latitudes)s::float8[], %(longitudes)s::float8[])
ON CONFLICT (facility_id) DO UPDATE SET latitude = excluded.latitude, longitude = excluded.longitude
WHERE (stored.latitude, stored.longitude) IS DISTINCT FROM (excluded.latitude, excluded.longitude)
"""
_STORED = "SELECT facility_id, latitude, longitude FROM gridproof.facility_coordinates"
_FORGET = """
INSERT INTO gridproof.facility_coordinates AS stored (facility_id) VALUES (%s)
ON CONFLICT (facility_id) DO UPDATE SET latitude = NULL, longitude = NULL WHERE stored.latitude IS NOT NULL
"""


class PostgresFacilityCoordinates:
    """`pool` connects as the application's role."""

    def __init__(self, pool: ConnectionPool[Any], wall_time: WallTime = None) -> None:
        self._pool = pool
        self._wall_time = wall_time

    def put(self, coordinates: Mapping[str, Coordinates]) -> None:
        facility_ids = sorted(coordinates)  # so that two imports cannot deadlock
        parameters = {
            "ids": facility_ids,
            "latitudes": [coordinates[one].latitude for one in facility_ids],
            "longitudes": [coordinates[one].longitude for one in facility_ids],
        }
        with transaction(self._pool) as connection:
            connection.execute(_PUT, parameters)

    def stored(self) -> dict[str, Coordinates | None]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_STORED).fetchall()
        return {
            facility_id: None if latitude is None else Coordinates(latitude, longitude)
            for facility_id, latitude, longitude in rows
        }

    def forget(self, facility_id: str, act: AdministrativeAct) -> bool:
        with transaction(self._pool) as connection:
            is_forgotten = connection.execute(_FORGET, (facility_id,)).rowcount > 0
            if is_forgotten:
                append_acts(connection, [act], self._wall_time)
        return is_forgotten
