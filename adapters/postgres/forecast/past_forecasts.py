"""Past forecasts on PostgreSQL, read from the forecasts' event log. There is no cache, since few of them are
read twice."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import PortErrors, autocommit_connection
from application.event_store.event_mapper import decode_domain_event
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.forecast.past_forecasts import ForecastKey
from domain.forecast import Forecast, ForecastState
from domain.identifiers import forecast_stream_id

STREAMS_PER_QUERY = 1_000
"""Streams per round trip: a few megabytes."""
_ERRORS = PortErrors(EventStoreUnavailable, "the forecasts' log")
# By stream ids, as in forecast_book.py: the primary key is the only index needed.
_STREAMS = """
SELECT e.originator_id, e.originator_version, e.topic, e.state
FROM unnest(%b::uuid[]) AS known (id) JOIN gridproof.forecasts_events e ON e.originator_id = known.id
ORDER BY e.originator_id, e.originator_version
"""

_Row = tuple[UUID, int, str, bytes]


class PostgresPastForecasts:
    """Implements PastForecasts."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def in_force(self, places: Collection[ForecastKey], *, at: datetime) -> dict[ForecastKey, ForecastState]:
        by_stream = {forecast_stream_id(*place): place for place in places}
        states: dict[ForecastKey, ForecastState] = {}
        for rows in self._batches(list(by_stream)):
            for stream_id, own in groupby(rows, key=lambda row: row[0]):
                if (state := _folded(own, at)) is not None:
                    states[by_stream[stream_id]] = state
        return states

    def _batches(self, stream_ids: Sequence[UUID]) -> Iterator[list[_Row]]:
        for start in range(0, len(stream_ids), STREAMS_PER_QUERY):
            with autocommit_connection(self._pool, _ERRORS) as connection:
                parameters = (list(stream_ids[start : start + STREAMS_PER_QUERY]),)
                rows = connection.execute(_STREAMS, parameters, binary=True).fetchall()
            yield rows


def _folded(rows: Iterator[_Row], at: datetime) -> ForecastState | None:
    state: ForecastState | None = None
    for stream_id, version, topic, body in rows:
        fact = decode_domain_event(topic, stream_id, version, body)
        if not isinstance(fact, Forecast.Issued | Forecast.Reissued) or fact.recorded_at > at:
            continue
        if isinstance(fact, Forecast.Issued):
            state = fact.initial_state()
        elif state is not None:
            state = fact.evolve(state)
    return state
