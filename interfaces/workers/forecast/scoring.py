"""Scoring: half an hour after each hour, what was foreseen of it, beside what the meters said; and who has drifted.

It runs beside the forecast cycles, under a lock of its own. Every hour is added once, however often it is tried; one
that is over for two days is not scored any more, and readings that come later than half an hour are not scored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import structlog

from application.forecast.accuracy import LONG_RUN, RECENT, drifted
from application.forecast.scoring import (
    HOUR,
    LEADS_H,
    CorrelationTally,
    Metered,
    forecasts_to_score,
    score_hour,
)
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.forecast.past_forecasts import PastForecasts
from application.ports.forecast.scores import ForecastScore, ForecastScores
from application.ports.operations.alerts import AlertRegistry
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.telemetry.store import TelemetryStore, TelemetryStoreUnavailable
from domain.time_series.windows import TimeWindow
from interfaces.workers.loops.leader_loop import run_as_leader, sleep_or_stop
from projections.queries.views import ReadModelsUnavailable

_log = structlog.get_logger(__name__)
LOCK = "forecast-scoring"
SCORED_AFTER = timedelta(minutes=30)
LONGEST_BACK = timedelta(hours=48)
FACILITIES_AT_ONCE = 250
LOOK_EVERY_S, LEAST_WALL_S, RETRY_WALL_S = 60.0, 0.5, 1.0
WEEK = timedelta(days=7)
KEPT = LONG_RUN + RECENT + timedelta(days=3)
DRIFT = "forecast_drift"
MOST_TOLD, MOST_OPEN = 200, 10_000
THE_REST = "others"


@dataclass
class ForecastScoring:
    """One is active per system; another takes over where it ends."""

    facilities: Callable[[], Sequence[str]]
    telemetry: TelemetryStore
    past: PastForecasts
    scores: ForecastScores
    alerts: AlertRegistry
    clock: Clock
    _judged: date | None = field(default=None, init=False)
    """The last day whose drift was told."""

    async def run(self, locks: Locks, stop: asyncio.Event) -> None:
        await run_as_leader(locks, LOCK, lambda: self._score_on(stop), stop=stop)

    async def _score_on(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                worked = await asyncio.to_thread(self.step)
            except (
                TelemetryStoreUnavailable,
                EventStoreUnavailable,
                OperationsUnavailable,
                ReadModelsUnavailable,
            ) as error:
                _log.warning("scoring put off", error=str(error))
                await sleep_or_stop(stop, RETRY_WALL_S)
                continue
            except Exception:  # noqa: BLE001 - what cannot be scored must not stop forecasts, which run in the same process
                _log.exception("scoring failed; it is tried again")
                worked = False
            if not worked:
                await sleep_or_stop(stop, max(LEAST_WALL_S, self.clock.wall_seconds(LOOK_EVERY_S)))

    def step(self) -> bool:
        """Score the next hour that is over, if there is one, and tell of drift once a day; False: nothing was due."""
        through = self.scores.scored_through()
        latest = (self.clock.now() - SCORED_AFTER).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if through is not None and through >= latest:
            return False
        begins = latest - HOUR if through is None else max(through, latest - LONGEST_BACK)
        if through is not None and begins > through:
            _log.warning("hours are not scored any more", since=through.isoformat(), until=begins.isoformat())
        if not self._score(begins, after=through):
            return True  # somebody else did
        day = begins.date()
        if self._judged != day:
            self._tell(day - timedelta(days=1))
            self.scores.delete_before(day - KEPT)
            self._judged = day
        return True

    def _score(self, hour: datetime, *, after: datetime | None) -> bool:
        ids, tally = list(self.facilities()), CorrelationTally()
        found: list[ForecastScore] = []
        for start in range(0, len(ids), FACILITIES_AT_ONCE):
            some = ids[start : start + FACILITIES_AT_ONCE]
            metered = self._metered(some, hour)
            for lead_h in LEADS_H:
                foreseen = self.past.standing(forecasts_to_score(some, hour, lead_h), at=hour)
                found += score_hour(foreseen, metered, hour, lead_h, tally)
        recorded = self.scores.record(hour, found, tally.correlations(), after=after)
        if recorded:
            _log.info("forecasts scored", hour=hour.isoformat(), scores=len(found), facilities=len(ids))
        return recorded

    def _metered(self, facility_ids: Sequence[str], hour: datetime) -> Metered:
        window = TimeWindow(hour, hour + HOUR)
        load = self.telemetry.interval_series_of(facility_ids, window)
        before = self.telemetry.interval_series_of(facility_ids, window.shifted(-WEEK))
        return Metered(facility_ids=load.facility_ids, load_kw=load.mean_kw, week_before_kw=before.mean_kw)

    def _tell(self, day: date) -> None:
        """Raise who has drifted by the end of `day`, and clear whom that is over for."""
        now, found = self.clock.now(), drifted(self.scores, day)
        standing = dict(list(found.items())[:MOST_TOLD])
        if len(found) > MOST_TOLD:
            standing[THE_REST] = (
                f"{len(found) - MOST_TOLD} more facilities; see `gridproof forecast accuracy`"
            )
        for facility_id, why in standing.items():
            self.alerts.raise_alert(DRIFT, facility_id, why, at=now)
        for alert in self.alerts.listed(limit=MOST_OPEN):
            if alert.name == DRIFT and alert.subject not in standing:
                self.alerts.clear(DRIFT, alert.subject, at=now)
