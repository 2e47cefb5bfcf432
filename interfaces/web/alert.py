"""Alerts: what a person should know now."""

import asyncio
from typing import Annotated

from litestar import Controller, get
from litestar.params import FromQuery, QueryParameter

from application.ports.alerts import Alert
from interfaces.web.access import ApiRequest
from interfaces.web.collaborators import collaborators_of
from interfaces.web.paging import Listing

MOST_ALERTS = 1_000


class AlertController(Controller):
    path = "/api/alerts"
    tags = ("operations",)

    @get("/", summary="The newest first")
    async def listed(
        self,
        request: ApiRequest,
        include_cleared: FromQuery[bool] = False,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_ALERTS)] = 200,
    ) -> Listing[Alert]:
        """One is open for a (name, subject) at most, so their number is bounded by what there is to watch."""
        alerts = collaborators_of(request).alerts
        found = await asyncio.to_thread(alerts.listed, include_cleared=include_cleared, limit=limit)
        return Listing(items=tuple(found))
