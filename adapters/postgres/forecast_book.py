"""The forecast book on PostgreSQL: reads the newest forecasts out of the forecasts' own log, by their streams."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from application.event_mapper import decode_domain_event
from application.ports.event_store import EventStoreUnavailable
from application.ports.forecast_book import IssuedForecast
from domain.forecast import CYCLE, Forecast, cycle_start_of
from domain.identifiers import forecast_stream_id

CYCLES_BACK = 8
"""Two hours: an older forecast is of no use to a plan."""
MOST_REMEMBERED = 4_000

# The streams' ids follow from facility and cycle, so no index beside the primary key is needed.
_SINCE = """
SELECT e.originator_id, e.originator_version, e.topic, e.state, e.notification_id
FROM unnest(%b::uuid[], %b::bigint[]) AS known (id, version)
JOIN gridproof.forecasts_events e ON e.originator_id = known.id AND e.originator_version > known.version
ORDER BY e.originator_id, e.originator_version
"""

_Row = tuple[UUID, int, str, bytes, int]
_Place = tuple[str, datetime]
"""Facility and cycle start."""


class _Known(NamedTuple):
    version: int
    issued: IssuedForecast


class PostgresForecastBook:
    """Implements ForecastBook. Raises EventStoreUnavailable when PostgreSQL does not answer.

    Remembers the forecasts that it read, since they never change; a reissued one is seen at the next look.
    """

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool
        self._known: OrderedDict[UUID, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def newest(self, facility_id: str, *, at: datetime) -> IssuedForecast | None:
        return self.newest_of([facility_id], at=at).get(facility_id)

    def newest_of(self, facility_ids: Sequence[str], *, at: datetime) -> dict[str, IssuedForecast]:
        """The present cycle first: nearly always that is all there is to read."""
        latest = cycle_start_of(at)
        cycles = [latest - CYCLE * back for back in range(CYCLES_BACK + 1)]
        found: dict[str, IssuedForecast] = {}
        for some in (cycles[:1], cycles[1:2], cycles[2:]):
            missing = [facility_id for facility_id in facility_ids if facility_id not in found]
            if missing:
                found |= self._newest_in(missing, some, at)
        return found

    def _newest_in(
        self, facility_ids: Sequence[str], cycles: Sequence[datetime], at: datetime
    ) -> dict[str, IssuedForecast]:
        """`cycles` with the newest first."""
        places = {
            forecast_stream_id(facility_id, cycle): (facility_id, cycle)
            for cycle in cycles
            for facility_id in facility_ids
        }
        standing = self._standing(places, at)
        found: dict[str, IssuedForecast] = {}
        for stream_id, (facility_id, _) in places.items():
            if facility_id not in found and stream_id in standing:
                found[facility_id] = standing[stream_id]
        return found

    def _standing(self, places: dict[UUID, _Place], at: datetime) -> dict[UUID, IssuedForecast]:
        """Of each stream the forecast that stood at `at`."""
        with self._lock:
            known = {i: entry for i in places if (entry := self._known.get(i)) is not None}
        found = {i: entry for i, entry in known.items() if entry.issued.issued_at <= at}
        streams: dict[UUID, list[_Row]] = {}
        for row in self._rows(list(places), [found[i].version if i in found else 0 for i in places]):
            streams.setdefault(row[0], []).append(row)
        read = {i: one for i, rows in streams.items() if (one := _last(rows, places[i], at)) is not None}
        self._remember(read)
        return {i: entry.issued for i, entry in (found | read).items()}

    def _remember(self, read: dict[UUID, _Known]) -> None:
        with self._lock:
            self._known |= read
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)

    def _rows(self, stream_ids: list[UUID], versions: list[int]) -> list[_Row]:
        try:
            with self._pool.connection() as connection, connection.cursor(binary=True) as cursor:
                cursor.execute(_SINCE, (stream_ids, versions), prepare=True)
                rows: list[_Row] = cursor.fetchall()
                return rows
        except (psycopg.OperationalError, PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise EventStoreUnavailable(f"the forecasts' log did not answer: {error}") from error


def _last(rows: Sequence[_Row], place: _Place, at: datetime) -> _Known | None:
    """The last one recorded by `at`; each says all there is to say of the forecast but its place."""
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
            return _Known(version, issued)
    return None
