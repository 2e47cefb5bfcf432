"""Checks whether a caller may see a facility."""

import asyncio

from interfaces.web.edge import models_of, web_of
from interfaces.web.guard.access import ApiRequest, store_is_away
from interfaces.web.middleware.replica_routing import is_away
from interfaces.web.problems import Problem
from projections.facility import FacilityRow, key_of


async def visible_facility(request: ApiRequest, facility_id: str) -> FacilityRow:
    """Raises Problem (404) if there is none, or the key may not see it."""
    row = None
    if request.user.facility_id in (None, facility_id):
        row = await web_of(request).rows.get(models_of(request).facilities, key_of(facility_id))
    if row is None:
        raise unknown_facility()
    return row


async def check_visible(request: ApiRequest, facility_id: str) -> None:
    """As `visible_facility`, without reading the store if the id is cached."""
    web = web_of(request)
    if request.user.facility_id not in (None, facility_id):
        raise unknown_facility()
    if web.facilities.is_cached(facility_id):
        return
    if is_away(request.scope, web.live.state):
        raise store_is_away()
    if not await asyncio.to_thread(web.facilities.among, [facility_id]):
        raise unknown_facility()


def unknown_facility() -> Problem:
    return Problem("not-found", "no such facility (then); list them at /api/facilities")
