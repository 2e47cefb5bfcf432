"""Route of the forecasts of a facility: the one in force at a moment, or by lead time."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from litestar import Controller, get
from litestar.params import FromPath, QueryParameter

from application.forecast.as_of import LeadTimeRefused, by_lead_time, newest_at
from application.forecast.documents import (
    ForecastDocument,
    LeadTimeDocument,
    forecast_document,
    lead_time_document,
)
from domain.time_series.windows import TimeWindow
from interfaces.web.api.telemetry.load_history import window_of
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem
from interfaces.web.requests.forecasts import read_forecasts
from interfaces.web.requests.visibility import visible_facility
from interfaces.web.route_policy import FACILITY_READER, RoutePolicy

STEP_S = 900

AsOfMoment = Annotated[
    datetime | None,
    QueryParameter(name="as_of", description="As known at that moment (RFC 3339); without it, now"),
]
LeadTime = Annotated[
    float | None,
    QueryParameter(
        name="lead_time_h",
        ge=0,
        schema_extra={"minimum": 0},  # the framework omits a bound of zero
        le=48,
        description="Hours from the cycle of a forecast to the interval",
    ),
]
First = Annotated[datetime | None, QueryParameter(name="from", description="With `lead_time_h`")]
Last = Annotated[datetime | None, QueryParameter(name="to", description="With `lead_time_h`")]


class ForecastController(Controller):
    path = "/api/facilities/{facility_id:str}/forecast"
    tags = ("facilities",)

    @get(
        "/",
        summary="Its load forecast: the newest one, or by lead time",
        policy=RoutePolicy(roles=FACILITY_READER, one_facility=True, cache="stale", reads_replica=True),
    )
    async def one(
        self,
        request: ApiRequest,
        web: Web,
        facility_id: FromPath[str],
        *,
        as_of: AsOfMoment = None,
        lead_time_h: LeadTime = None,
        first: First = None,
        last: Last = None,
    ) -> ForecastDocument | LeadTimeDocument:
        """The forecast in force at `as_of`, with its quality.

        With `lead_time_h`, `from` and `to` (at most 7 days): each quarter-hour as forecast that many hours before.
        """
        await visible_facility(request, facility_id)
        at = moment_of(as_of, web.clock.now())
        if lead_time_h is not None:
            return await _ahead(request, facility_id, lead_time_h, _window(first, last), at)
        if first is not None or last is not None:
            raise Problem("invalid-request", "`from` and `to` go with `lead_time_h`; give it too")
        found = await read_forecasts(request, lambda forecasts, _: newest_at(forecasts, [facility_id], at))
        if facility_id not in found:
            raise Problem(
                "not-found",
                f"no forecast was issued for {facility_id} in the two hours before {at.isoformat()}; without meter "
                "data there is none, else see that the compute worker runs",
            )
        return forecast_document(found[facility_id], at)


async def _ahead(
    request: ApiRequest,
    facility_id: str,
    lead_time_h: float,
    window: TimeWindow,
    at: datetime,
) -> LeadTimeDocument:
    lead_time = timedelta(hours=lead_time_h)
    try:
        steps = await read_forecasts(
            request, lambda forecasts, _: by_lead_time(forecasts, facility_id, window, lead_time, at)
        )
    except LeadTimeRefused as error:
        raise Problem("invalid-request", str(error)) from None
    return lead_time_document(facility_id, steps, lead_time, at)


def moment_of(as_of: datetime | None, now: datetime) -> datetime:
    """`as_of` in UTC; a time in the future counts as now. Raises Problem (400)."""
    if as_of is None:
        return now
    if as_of.tzinfo is None:
        raise Problem("invalid-request", "`as_of` is a time with an offset, as 2026-07-14T21:00:00Z")
    try:
        return min(as_of.astimezone(UTC), now)
    except OverflowError:
        raise Problem("invalid-request", "`as_of` is in UTC no time of the years 1 to 9999") from None


def _window(first: datetime | None, last: datetime | None) -> TimeWindow:
    if first is None or last is None:
        raise Problem("invalid-request", "`lead_time_h` goes with `from` and `to`; give both")
    return window_of(first, last, STEP_S)
