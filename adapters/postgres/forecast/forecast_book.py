"""Forecast book on PostgreSQL: reads the newest forecasts from the forecasts' event log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, autocommit_connection
from application.bounded_cache import BoundedCache
from application.event_store.event_mapper import decode_domain_event
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.forecast.forecast_book import IssuedForecast
from domain.forecast import CYCLE, Forecast, cycle_start_of
from domain.identifiers import forecast_stream_id

CYCLES_BACK = 8
"""Two hours; a plan has no use for an older forecast."""
MAX_CACHED = 4_000
_ERRORS = PortErrors(EventStoreUnavailable, "the forecasts' log")

# The stream ids follow from facility and cycle, so that the primary key is the only index needed. The query
# always returns a row, because it identifies the server: after a restart, or for another database of that
# name, the log may be another one.
_SINCE = """
SELECT server.identity, e.originator_id, e.originator_version, e.topic, e.state, e.notification_id
FROM (
    SELECT concat(extract(epoch FROM pg_postmaster_start_time()), ' ', oid) AS identity
    FROM pg_database WHERE datname = current_database()
) server
LEFT JOIN (
    unnest(%b::uuid[], %b::bigint[]) AS known (id, version)
    JOIN gridproof.forecasts_events e ON e.originator_id = known.id AND e.originator_version > known.version
) ON true
ORDER BY e.originator_id, e.originator_version
"""

_Row = tuple[UUID, int, str, bytes, int]
_Place = tuple[str, datetime]
"""Facility and start of the cycle."""


class _CachedForecast(NamedTuple):
    version: int
    issued: IssuedForecast


class PostgresForecastBook:
    """Implements ForecastBook. Raises EventStoreUnavailable when PostgreSQL does not answer.

    Caches the forecasts that it read, since they never change; a reissued forecast is seen at the next read.
    Those of another server do not count, since a restored or promoted server may have lost forecasts.
    """

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool
        self._cache = BoundedCache[tuple[str, UUID], _CachedForecast]("forecasts", max_size=MAX_CACHED)
        """By the server that they were read from."""
        self._server = ""

    def newest(self, facility_id: str, *, at: datetime) -> IssuedForecast | None:
        return self.newest_of([facility_id], at=at).get(facility_id)

    def newest_of(self, facility_ids: Sequence[str], *, at: datetime) -> dict[str, IssuedForecast]:
        """Reads the current cycle first, which is nearly always sufficient."""
        latest = cycle_start_of(at)
        cycles = [latest - CYCLE * back for back in range(CYCLES_BACK + 1)]
        forecasts: dict[str, IssuedForecast] = {}
        for some in (cycles[:1], cycles[1:2], cycles[2:]):
            missing = [facility_id for facility_id in facility_ids if facility_id not in forecasts]
            if missing:
                forecasts |= self._newest_in(missing, some, at)
        return forecasts

    def _newest_in(
        self, facility_ids: Sequence[str], cycles: Sequence[datetime], at: datetime
    ) -> dict[str, IssuedForecast]:
        """`cycles`: newest first."""
        places = {
            forecast_stream_id(facility_id, cycle): (facility_id, cycle)
            for cycle in cycles
            for facility_id in facility_ids
        }
        standing = self._standing(places, at)
        forecasts: dict[str, IssuedForecast] = {}
        for stream_id, (facility_id, _) in places.items():
            if facility_id not in forecasts and stream_id in standing:
                forecasts[facility_id] = standing[stream_id]
        return forecasts

    def _standing(self, places: dict[UUID, _Place], at: datetime) -> dict[UUID, IssuedForecast]:
        """The forecast of each stream that was valid at `at`."""
        server = self._server
        forecasts = self._cached(server, places, at)
        answered_by, rows = self._rows(
            list(places), [forecasts[i].version if i in forecasts else 0 for i in places]
        )
        if forecasts and answered_by != server:
            forecasts = {}
            answered_by, rows = self._rows(list(places), [0] * len(places))
        streams: dict[UUID, list[_Row]] = {}
        for row in rows:
            streams.setdefault(row[0], []).append(row)
        fetched = {i: one for i, own in streams.items() if (one := _last(own, places[i], at)) is not None}
        self._server = answered_by
        for stream_id, entry in fetched.items():
            self._cache.put((answered_by, stream_id), entry)
        return {i: entry.issued for i, entry in (forecasts | fetched).items()}

    def _cached(self, server: str, places: dict[UUID, _Place], at: datetime) -> dict[UUID, _CachedForecast]:
        """The forecasts that were read from that server and issued by `at`."""
        cached = zip(places, self._cache.get_all([(server, stream_id) for stream_id in places]), strict=True)
        return {
            stream_id: entry
            for stream_id, entry in cached
            if entry is not None and entry.issued.issued_at <= at
        }

    def _rows(self, stream_ids: list[UUID], versions: list[int]) -> tuple[str, list[_Row]]:
        """The server that answered, and its rows of these streams after these versions."""
        with autocommit_connection(self._pool, _ERRORS) as connection:
            answered = connection.execute(
                _SINCE, (stream_ids, versions), prepare=True, binary=True
            ).fetchall()
        return answered[0][0], [row[1:] for row in answered if row[1] is not None]


def _last(rows: Sequence[_Row], place: _Place, at: datetime) -> _CachedForecast | None:
    """The last forecast that was recorded by `at`. Each domain event holds the complete forecast except its
    facility and cycle."""
    facility_id, cycle_start = place
    for stream_id, version, topic, body, position in reversed(rows):
        fact = decode_domain_event(topic, stream_id, version, body)
        if isinstance(fact, Forecast.Issued | Forecast.Reissued) and fact.recorded_at <= at:
            issued = IssuedForecast(
                forecast_id=fact.forecast_id,
                position=position,
                facility_id=facility_id,
                cycle_start=cycle_start,
                issued_at=fact.issued_at,
                data_quality=fact.data_quality,
                quantiles=fact.steps,
            )
            return _CachedForecast(version, issued)
    return None
