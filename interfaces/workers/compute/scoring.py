"""ForecastScoring: compares the forecasts of each hour with the meters, half an hour later, and alerts on drift.

It runs in the compute worker, under a lock of its own. Every hour is added once, however often it is tried. An hour
that ended two days ago is not scored any more, and readings that arrive later than half an hour are not used.
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
    MeteredLoad,
    forecasts_to_score,
    score_hour,
)
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.forecast.past_forecasts import PastForecasts
from application.ports.forecast.scores import ForecastScore, ForecastScores
from application.ports.operations.alerts import AlertRegistry
from application.ports.telemetry.store import TelemetryStore
from application.ports.weather.temperatures import CellTemperatures
from domain.time_series.windows import TimeWindow
from interfaces.workers.loops.periodic import PUT_OFF, PeriodicCheck

_log = structlog.get_logger(__name__)
LOCK = "forecast-scoring"
SCORED_AFTER = timedelta(minutes=30)
LONGEST_BACK = timedelta(hours=48)
FACILITIES_AT_ONCE = 250
CHECK_EVERY_S, LEAST_WALL_S, RETRY_WALL_S = 60.0, 0.5, 1.0
WEEK = timedelta(days=7)
RETAINED = LONG_RUN + RECENT + timedelta(days=3)
DRIFT = "forecast_drift"
MOST_ALERTS = 200
OTHERS = "others"


@dataclass
class ForecastScoring:
    """One is active per system. When it ends, another process takes over."""

    facilities: Callable[[], Sequence[str]]
    telemetry: TelemetryStore
    past: PastForecasts
    scores: ForecastScores
    alerts: AlertRegistry
    clock: Clock
    temperatures: CellTemperatures
    temperatures_kept: timedelta
    """As the rollups of telemetry. Those of an earlier UTC day are deleted."""
    _drift_checked: date | None = field(default=None, init=False)
    """The last day at which the drift was looked at."""
    _drifted: dict[str, str] | None = field(default=None, init=False)

    async def run(self, locks: Locks, stop: asyncio.Event) -> None:
        await PeriodicCheck(
            "forecast scoring",
            self._timed_step,
            every_s=max(LEAST_WALL_S, self.clock.wall_seconds(CHECK_EVERY_S)),
            retry_s=RETRY_WALL_S,
            lock=LOCK,
        ).run(stop, locks)

    async def _timed_step(self) -> float | None:
        try:
            return 0.0 if await asyncio.to_thread(self.step) else None
        except PUT_OFF:
            raise
        except Exception:  # noqa: BLE001 - a fault in scoring must not stop the forecasts of the same process
            _log.exception("scoring failed; it is tried again")
            return None

    def step(self) -> bool:
        """Score the next hour that is over, and look at the drift once a day. False: nothing was due."""
        through = self.scores.scored_through()
        latest = (self.clock.now() - SCORED_AFTER).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if through is not None and through >= latest:
            if self._drifted is None:
                self._drifted = self._drifted_by((through - HOUR).date() - timedelta(days=1))
            self._state_drift()
            return False
        begins = latest - HOUR if through is None else max(through, latest - LONGEST_BACK)
        if through is not None and begins > through:
            _log.warning("hours are not scored any more", since=through.isoformat(), until=begins.isoformat())
        if not self._score(begins, after=through):
            return True  # another process did
        day = begins.date()
        if self._drift_checked != day:
            self._drifted = self._drifted_by(day - timedelta(days=1))
            self.scores.delete_before(day - RETAINED)
            self.temperatures.delete_before(day - self.temperatures_kept)
            self._drift_checked = day
        self._state_drift()
        return True

    def _score(self, hour: datetime, *, after: datetime | None) -> bool:
        ids, tally = list(self.facilities()), CorrelationTally()
        scores: list[ForecastScore] = []
        for start in range(0, len(ids), FACILITIES_AT_ONCE):
            some = ids[start : start + FACILITIES_AT_ONCE]
            metered = self._metered(some, hour)
            for lead_h in LEADS_H:
                foreseen = self.past.in_force(forecasts_to_score(some, hour, lead_h), at=hour)
                scores += score_hour(foreseen, metered, hour, lead_h, tally)
        recorded = self.scores.record(hour, scores, tally.correlations(), after=after)
        if recorded:
            _log.info("forecasts scored", hour=hour.isoformat(), scores=len(scores), facilities=len(ids))
        return recorded

    def _metered(self, facility_ids: Sequence[str], hour: datetime) -> MeteredLoad:
        window = TimeWindow(hour, hour + HOUR)
        load = self.telemetry.interval_series_of(facility_ids, window)
        before = self.telemetry.interval_series_of(facility_ids, window.shifted(-WEEK))
        return MeteredLoad(
            facility_ids=load.facility_ids, load_kw=load.mean_kw, week_before_kw=before.mean_kw
        )

    def _drifted_by(self, day: date) -> dict[str, str]:
        """Facility -> why it has drifted by the end of `day`; at most MOST_ALERTS by name."""
        found = drifted(self.scores, day)
        named = dict(list(found.items())[:MOST_ALERTS])
        if len(found) > MOST_ALERTS:
            named[OTHERS] = f"{len(found) - MOST_ALERTS} more facilities; see `gridproof forecast accuracy`"
        return named

    def _state_drift(self) -> None:
        if self._drifted is not None:
            self.alerts.state(DRIFT, self._drifted, observer="forecast scoring", at=self.clock.now())
