"""Route of the accuracy of a facility's forecasts, by lead time and quality."""

from datetime import timedelta
from typing import Annotated

from litestar import Controller, get
from litestar.params import FromPath, QueryParameter

from application.forecast.accuracy import FacilityAccuracy, facility_accuracies
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.requests.forecasts import read_forecasts
from interfaces.web.requests.visibility import visible_facility
from interfaces.web.route_policy import FACILITY_READER, RoutePolicy

Days = Annotated[int, QueryParameter(ge=1, le=97, description="The last so many UTC days, including today")]


class ForecastAccuracyController(Controller):
    path = "/api/facilities/{facility_id:str}/forecast/accuracy"
    tags = ("facilities",)

    @get(
        "/",
        summary="Accuracy of its forecasts",
        policy=RoutePolicy(roles=FACILITY_READER, one_facility=True, cache="stale", reads_replica=True),
    )
    async def one(
        self, request: ApiRequest, web: Web, facility_id: FromPath[str], *, days: Days = 28
    ) -> FacilityAccuracy:
        """Errors, coverage of the 80 % interval, and skill against last week's load; empty before the first score."""
        await visible_facility(request, facility_id)
        last = web.clock.now().date()
        first = last - timedelta(days=days - 1)
        found = await read_forecasts(
            request, lambda _, scores: facility_accuracies(scores, first, last, [facility_id])
        )
        nothing = FacilityAccuracy(facility_id=facility_id, first=first, last=last, accuracy=())
        return found[0] if found else nothing
