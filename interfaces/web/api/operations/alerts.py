"""Route of the list of alerts."""

import asyncio
from datetime import datetime

import msgspec
from litestar import Controller, get
from litestar.params import FromQuery

from application.ports.operations.alerts import Alert, AlertCursor, Severity
from interfaces.web.edge import Web
from interfaces.web.requests.paging import Cursor, Limit, Listing, Place, newest_of, place_of
from interfaces.web.route_policy import ALERT_READER, RoutePolicy
from projections.engine.cursors import invalid_cursor

LISTED = "alerts"
HIGHEST_ID = 2**63 - 1


class AlertDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One alert; at most one is open for a (name, subject)."""

    alert_id: int
    """In the order of raising."""
    name: str
    subject: str
    severity: Severity
    detail: str
    raised_at: datetime
    last_seen_at: datetime
    cleared_at: datetime | None = None


def alert_document(alert: Alert) -> AlertDocument:
    return msgspec.convert(alert, AlertDocument, from_attributes=True)


class AlertController(Controller):
    path = "/api/alerts"
    tags = ("operations",)

    @get(
        "/",
        summary="The newest first",
        policy=RoutePolicy(roles=ALERT_READER, cache="stale"),
    )
    async def listed(
        self,
        web: Web,
        include_cleared: FromQuery[bool] = False,
        cursor: Cursor = None,
        limit: Limit = 200,
    ) -> Listing[AlertDocument]:
        """At most one is open for a (name, subject), so the number of open alerts is bounded."""
        found = await asyncio.to_thread(
            web.alerts.listed,
            include_cleared=include_cleared,
            limit=limit + 1,
            after=_place_of(cursor),
        )
        items, following = newest_of(
            LISTED, found, limit, lambda alert: Place(alert.raised_at, str(alert.alert_id))
        )
        return Listing(items=tuple(map(alert_document, items)), next_cursor=following)


def _place_of(cursor: str | None) -> AlertCursor | None:
    """Raises InvalidCursor."""
    place = place_of(LISTED, cursor)
    if place is None:
        return None
    is_number = place.key.isascii() and place.key.isdigit() and len(place.key) <= len(str(HIGHEST_ID))
    if not is_number or int(place.key) > HIGHEST_ID:
        raise invalid_cursor()
    return AlertCursor(place.at, int(place.key))
