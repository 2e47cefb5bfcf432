"""Routes of alerts: their list, and what a person decides about one."""

import asyncio
from datetime import datetime

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from application.operations.alert_decisions import LOOKED_AFTER, decide_alert
from application.ports.operations.alerts import Alert, AlertCursor, AlertDecision, Severity
from domain.event_sourcing.decoders import converted
from interfaces.web.api.dr_event.controller import Text
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.listing import Listing
from interfaces.web.problems import Problem
from interfaces.web.requests.command_context import actor_of
from interfaces.web.requests.paging import Cursor, Limit, Place, newest_of, place_of
from interfaces.web.route_policy import ALERT_READER, OPERATOR, RoutePolicy
from projections.engine.cursors import invalid_cursor

LISTED = "alerts"
HIGHEST_ID = 2**63 - 1


class AlertDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An alert; at most one is open for a (name, subject)."""

    alert_id: int
    """In the order of raising."""
    name: str
    subject: str
    severity: Severity
    detail: str
    raised_at: datetime
    last_seen_at: datetime
    cleared_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledgement: str | None = None
    """What that person wrote."""
    cleared_by: str | None = None
    """Who ended it by hand; null: it ended by its rule."""
    clear_reason: str | None = None


class AcknowledgementBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Text = LOOKED_AFTER
    """What is done about it."""


class ClearBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Text


def alert_document(alert: Alert) -> AlertDocument:
    return converted(alert, AlertDocument, from_attributes=True)


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

    @post(
        "/{alert_id:int}/acknowledgement",
        status_code=200,
        summary="Acknowledge it",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def acknowledge(
        self, request: ApiRequest, web: Web, alert_id: FromPath[int], data: JSONBody[AcknowledgementBody]
    ) -> AlertDocument:
        """Somebody looks after it: it stays open, and is not escalated any more."""
        return await _decided(request, web, alert_id, "acknowledged", data.reason)

    @post(
        "/{alert_id:int}/clear",
        status_code=200,
        summary="End it by hand",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def clear(
        self, request: ApiRequest, web: Web, alert_id: FromPath[int], data: JSONBody[ClearBody]
    ) -> AlertDocument:
        """For one whose rule cannot know that it is over. If what raised it lasts, it is raised again."""
        return await _decided(request, web, alert_id, "cleared", data.reason)


async def _decided(
    request: ApiRequest, web: Web, alert_id: int, decision: AlertDecision, reason: str
) -> AlertDocument:
    by = actor_of(request)

    def decide() -> Alert:
        return decide_alert(
            web.alerts,
            alert_id,
            decision,
            by=by,
            reason=reason,
            at=web.decision_clock.now(),
        )

    if alert_id > HIGHEST_ID:
        raise Problem("not-found", f"no alert has the id {alert_id}")
    return alert_document(await asyncio.to_thread(decide))


def _place_of(cursor: str | None) -> AlertCursor | None:
    """Raises InvalidCursor."""
    place = place_of(LISTED, cursor)
    if place is None:
        return None
    is_number = place.key.isascii() and place.key.isdigit() and len(place.key) <= len(str(HIGHEST_ID))
    if not is_number or int(place.key) > HIGHEST_ID:
        raise invalid_cursor()
    return AlertCursor(place.at, int(place.key))
