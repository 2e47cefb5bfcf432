"""Degraded forecasts before a DR event: what the alert `degraded_forecast` states, one per requested facility."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from application.ports.forecast.forecast_book import ForecastBook, IssuedForecast
from domain.forecast import quality_at

DEGRADED = "degraded_forecast"
AHEAD = timedelta(hours=4)
"""How long before its start a DR event makes degraded forecasts worth an alert."""


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


Serving = Callable[[Sequence[RequestedFacility]], Sequence[RequestedFacility]]
"""Those of some requested facilities that serve, in their order, from one query for all of them."""


def degraded_facilities(
    requested: Collection[RequestedFacility],
    book: ForecastBook,
    known: Collection[str],
    *,
    serving: Serving,
    now: datetime,
) -> dict[str, str]:
    """Facility -> why: each that soon depends on a degraded forecast, or whose dispatch is blocked.

    `known` were found before: they stay until that is over. `serving` returns those that still take part and whose
    forecasts nobody has accepted: a facility may have opted out, been preempted, or been overridden.
    """
    relevant = [one for one in requested if one.imminent or one.facility_id in known]
    newest = book.newest_of(sorted({one.facility_id for one in relevant}), at=now) if relevant else {}
    qualities = {one: _quality(one, newest.get(one.facility_id), now) for one in relevant}
    worse = [one for one in relevant if qualities[one] != "full"]
    worse.sort(key=lambda one: (not one.imminent, one.starts_at, one.utility_event_id))
    degraded: dict[str, str] = {}
    for one in serving(worse):
        detail = f"{qualities[one]}; {one.utility_event_id} asks for it from {one.starts_at.isoformat()}"
        degraded.setdefault(one.facility_id, detail)
    return degraded


def _quality(one: RequestedFacility, newest: IssuedForecast | None, now: datetime) -> str:
    quality = "no forecast" if newest is None else quality_at(newest.data_quality, newest.cycle_start, now)
    if one.blocked_by is None:
        return quality
    return f"{one.blocked_by if quality == 'full' else quality}, its dispatch is blocked"
