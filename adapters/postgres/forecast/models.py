"""Trained models in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from application.ports.forecast.load_forecaster import TrainedModel

_OF = """
SELECT facility_id, name, version, trained_at, uses_weather, known_until, parameters
FROM gridproof.forecast_models WHERE facility_id = ANY (%s)
"""
_TRAINED_AT = "SELECT facility_id, trained_at FROM gridproof.forecast_models WHERE facility_id = ANY (%s)"
_UPSERT = """
INSERT INTO gridproof.forecast_models AS kept
    (facility_id, name, version, trained_at, uses_weather, known_until, parameters)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (facility_id) DO UPDATE SET name = EXCLUDED.name, version = EXCLUDED.version,
    trained_at = EXCLUDED.trained_at, uses_weather = EXCLUDED.uses_weather, known_until = EXCLUDED.known_until,
    parameters = EXCLUDED.parameters
WHERE kept.trained_at <= EXCLUDED.trained_at
"""


class PostgresForecastModels:
    """Implements ForecastModels."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def of(self, facility_ids: Sequence[str]) -> dict[str, TrainedModel]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_OF, (list(facility_ids),), binary=True).fetchall()
        return {
            facility_id: TrainedModel(
                name=name,
                version=version,
                trained_at=trained_at.astimezone(UTC),
                uses_weather=uses_weather,
                known_until=None if known_until is None else known_until.astimezone(UTC),
                parameters=bytes(parameters),
            )
            for facility_id, name, version, trained_at, uses_weather, known_until, parameters in rows
        }

    def trained_at(self, facility_ids: Sequence[str]) -> dict[str, datetime]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_TRAINED_AT, (list(facility_ids),), binary=True).fetchall()
        return {facility_id: trained_at.astimezone(UTC) for facility_id, trained_at in rows}

    def keep(self, models: Mapping[str, TrainedModel]) -> None:
        # Sorted, so that two processes that store the same facilities wait for each other and cannot
        # deadlock.
        rows = [
            (
                facility_id,
                one.name,
                one.version,
                one.trained_at,
                one.uses_weather,
                one.known_until,
                one.parameters,
            )
            for facility_id, one in sorted(models.items())
        ]
        with transaction(self._pool) as connection, connection.cursor() as cursor:
            cursor.executemany(_UPSERT, rows)
