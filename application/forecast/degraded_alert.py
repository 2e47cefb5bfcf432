"""Alerts for degraded forecasts before a DR event: `degraded_forecast`, one per requested facility.

The only state between two runs is that of the stores, so a restart neither loses nor repeats an alert.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from application.ports.forecast.forecast_book import ForecastBook, IssuedForecast
from application.ports.operations.alerts import AlertRegistry
from domain.forecast import quality_at

DEGRADED = "degraded_forecast"
AHEAD = timedelta(hours=4)
"""How long before its start a DR event makes degraded forecasts worth an alert."""
MAX_OPEN = 10_000


class RequestedFacility(msgspec.Struct, frozen=True, kw_only=True):
    """A facility that an open DR event requests."""

    facility_id: str
    dr_event_id: UUID
    utility_event_id: str
    starts_at: datetime
    imminent: bool
    """The start is near, or the preparation runs. Otherwise an open alert may stay, but none is raised."""
    blocked_by: str | None = None
    """The quality of the forecast that blocks its dispatch, if one does: the alert stays whichever forecasts follow."""


def update_degraded_alerts(
    requested: Collection[RequestedFacility],
    book: ForecastBook,
    alerts: AlertRegistry,
    *,
    serves: Callable[[RequestedFacility], bool],
    now: datetime,
) -> None:
    """Raise the alert of every facility that soon depends on a degraded forecast, or whose dispatch is blocked; clear
    it once that is over.

    `serves` returns whether the facility still takes part and nobody has accepted its forecast: it may have opted out,
    been preempted, or been overridden.
    """
    known = {alert.subject: alert.detail for alert in alerts.listed(limit=MAX_OPEN) if alert.name == DEGRADED}
    relevant = [one for one in requested if one.imminent or one.facility_id in known]
    newest = book.newest_of(sorted({one.facility_id for one in relevant}), at=now) if relevant else {}
    degraded: set[str] = set()
    for one in sorted(relevant, key=lambda one: (not one.imminent, one.starts_at, one.utility_event_id)):
        quality = _quality(newest.get(one.facility_id), now)
        if one.blocked_by is not None:
            quality = f"{one.blocked_by if quality == 'full' else quality}, its dispatch is blocked"
        if quality == "full" or one.facility_id in degraded or not serves(one):
            continue
        degraded.add(one.facility_id)
        detail = f"{quality}; {one.utility_event_id} asks for it from {one.starts_at.isoformat()}"
        if one.imminent and known.get(one.facility_id) != detail:
            alerts.raise_alert(DEGRADED, one.facility_id, detail, at=now)
    for facility_id in known.keys() - degraded:
        alerts.clear(DEGRADED, facility_id, at=now)


def _quality(newest: IssuedForecast | None, now: datetime) -> str:
    return "no forecast" if newest is None else quality_at(newest.data_quality, newest.cycle_start, now)
