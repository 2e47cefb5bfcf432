"""The forecast book on PostgreSQL: reads the newest forecasts out of the forecasts' own log, by their streams."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from application.event_mapper import decode_domain_event
from application.ports.event_store import EventStoreUnavailable
from application.ports.forecast_book import ForecastStep, IssuedForecast
from domain.forecast import CYCLE, Forecast, ForecastState, cycle_start_of
from domain.identifiers import forecast_stream_id

CYCLES_BACK = 8
"""Two hours: an older forecast is of no use to a plan."""

# The streams' ids follow from facility and cycle, so no index beside the primary key is needed.
_NEWEST = """
SELECT originator_id, originator_version, topic, state, notification_id
FROM gridproof.forecasts_events WHERE originator_id = ANY(%s)
ORDER BY originator_id, originator_version
"""


class PostgresForecastBook:
    """Implements ForecastBook. Raises EventStoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def newest(self, facility_id: str, *, at: datetime) -> IssuedForecast | None:
        return self.newest_of([facility_id], at=at).get(facility_id)

    def newest_of(self, facility_ids: Sequence[str], *, at: datetime) -> dict[str, IssuedForecast]:
        latest = cycle_start_of(at)
        cycles = [latest - CYCLE * back for back in range(CYCLES_BACK + 1)]
        places = {
            forecast_stream_id(facility_id, cycle): (facility_id, cycle)
            for facility_id in facility_ids
            for cycle in cycles
        }
        streams: dict[UUID, list[tuple[Any, ...]]] = {}
        for row in self._rows(list(places)):
            streams.setdefault(row[0], []).append(row)
        found: dict[str, IssuedForecast] = {}
        for stream_id in sorted(streams, key=lambda one: places[one][1], reverse=True):
            facility_id = places[stream_id][0]
            if facility_id not in found and (issued := _issued(streams[stream_id], at)) is not None:
                found[facility_id] = issued
        return found

    def _rows(self, stream_ids: list[UUID]) -> Iterable[tuple[Any, ...]]:
        try:
            with self._pool.connection() as conn:
                rows: list[tuple[Any, ...]] = conn.execute(_NEWEST, (stream_ids,)).fetchall()
                return rows
        except (psycopg.OperationalError, PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise EventStoreUnavailable(f"the forecasts' log did not answer: {error}") from error


def _issued(rows: list[tuple[Any, ...]], at: datetime) -> IssuedForecast | None:
    """The forecast that stood at `at`, out of one stream's rows; None while it was not yet issued."""
    state: ForecastState | None = None
    position = 0
    for stream_id, version, topic, body, notification_id in rows:
        domain_event = decode_domain_event(topic, stream_id, version, bytes(body))
        if domain_event.recorded_at > at:
            break
        state = (
            domain_event.initial_state()
            if isinstance(domain_event, Forecast.Issued)
            else domain_event.evolve(state)
        )
        position = notification_id
    return None if state is None else issued_forecast(state, position)


def issued_forecast(state: ForecastState, position: int) -> IssuedForecast:
    """As planning reads it."""
    steps = state.steps
    step = timedelta(seconds=steps.step_s)
    return IssuedForecast(
        forecast_id=state.forecast_id,
        position=position,
        facility_id=state.facility_id,
        cycle_start=state.cycle_start,
        issued_at=state.issued_at,
        data_quality=state.data_quality,
        steps=tuple(
            ForecastStep(steps.starts_at + step * index, steps.starts_at + step * (index + 1), *kw)
            for index, kw in enumerate(zip(steps.p10_kw, steps.p50_kw, steps.p90_kw, strict=True))
        ),
    )
