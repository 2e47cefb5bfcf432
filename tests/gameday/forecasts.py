"""Cases of forecasts: a rival of the compute worker, and a facility of which the forecasts became wrong."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from msgspec.structs import replace

from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.forecasts import Forecasts
from application.forecast.accuracy import MIN_RECENT
from domain.event_sourcing.aggregate import Provenance
from domain.forecast import CYCLE, Forecast, cycle_start_of
from domain.identifiers import forecast_stream_id
from interfaces.bootstrap.clock import wall_time_of
from tests.gameday.drill import Drill
from tests.gameday.extra_process import in_place_of
from tests.gameday.registry import case

DRIFTED, DISPUTED = "fac-003", "fac-001"
DAYS = 3
_ADD_SCORES = """
INSERT INTO gridproof.forecast_scores
SELECT %s, day::date, 1, 'full', %s, 4800, 480, 480, 4800, 10, %s, 0, 0, 0, 0
FROM generate_series(%s::date, %s::date, interval '1 day') AS day
ON CONFLICT (facility_id, day, lead_h, data_quality)
    DO UPDATE SET quarters = excluded.quarters, below = excluded.below, above = excluded.above
"""
_REMOVE_SCORES = "DELETE FROM gridproof.forecast_scores WHERE facility_id = %s"


@case("disturb_forecasts", "forecast_conflicts", "forecast_drift", round=5)
def disturb_forecasts(drill: Drill) -> None:
    """A process without weather makes forecasts of one quality, cycle after cycle: those of a rival have the same.

    The scores of a facility say that half of its load was below the interval of its forecasts. A process that begins to
    score looks at those of the past days.
    """
    yesterday = drill.demo.clock.now().date() - timedelta(days=1)
    first = yesterday - timedelta(days=DAYS - 1)
    drill.as_owner(_ADD_SCORES, DRIFTED, MIN_RECENT, MIN_RECENT // 2, first, yesterday)
    log = PostgresEventStore(Forecasts, drill.stores.database_url, wall_time=wall_time_of(drill.demo.clock))
    with closing(log), in_place_of(drill, "compute", {"WEATHER_URL": ""}):
        began, rivals = drill.demo.clock.now(), set[UUID]()

        def record_rival() -> None:
            _record_rival(log, rivals, since=began, now=drill.demo.clock.now())

        conflicts = drill.fires("forecast_conflicts", "forecasts", meanwhile=record_rival)
        drill.look_at("forecast_conflicts")
        drift = drill.fires("forecast_drift", DRIFTED)
        drill.look_at("forecast_drift", F=DRIFTED, TIME=f"{first}T00:00Z", TIME_AFTER=f"{yesterday}T00:00Z")
    drill.as_owner(_REMOVE_SCORES, DRIFTED)
    drill.undo()
    drill.ends(conflicts)
    drill.ends(drift)


def _record_rival(log: PostgresEventStore, rivals: set[UUID], *, since: datetime, now: datetime) -> None:
    """The forecast of the coming cycle, as the worker would make it by its own last one, but from other inputs.

    One that the worker made before `since` had weather: a rival like it would be better than what comes, and kept
    without a conflict. `rivals` gets the rival's id.
    """
    cycle_start = cycle_start_of(now)
    streams = [forecast_stream_id(DISPUTED, cycle_start + ahead) for ahead in (timedelta(), CYCLE)]
    recorded = log.load_many(Forecast, streams)
    if streams[1] in recorded or streams[0] not in recorded:
        return
    own = recorded[streams[0]].state
    if streams[0] in rivals or own.issued_at < since:
        return
    rival = Forecast.issue(
        Provenance(
            correlation_id=UUID(int=1),
            causation_id=UUID(int=2),
            actor="worker:compute",
            tenant=None,
            trace_id="0" * 32,
            recorded_at=now,
        ),
        facility_id=DISPUTED,
        cycle_start=cycle_start + CYCLE,
        inputs=replace(
            own.inputs,
            input_hash=sha256(own.inputs.input_hash.encode()).hexdigest(),
            newest_reading_at=own.inputs.newest_reading_at + CYCLE,
        ),
        model=own.model,
        steps=replace(own.steps, starts_at=own.steps.starts_at + CYCLE),
    )
    log.save([rival])
    rivals.add(streams[1])
