"""Routes of DR events: lists, single ones, their dispatches, and the commands of operators."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from application.commands.dispatch import OverrideForecast, RestoreByHand
from application.commands.dr_event import CancelDREvent, Cancellation
from domain.dr_event import Outcome
from domain.identifiers import dr_event_id
from interfaces.web.api.dr_event.documents import (
    DispatchDocument,
    DREventDocument,
    dispatch_document,
    dr_event_document,
)
from interfaces.web.api.webhook.responses import ended
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.listing import Listing
from interfaces.web.requests.as_of import AsOfQuery, dr_events_of, parse_as_of, visible_dr_event
from interfaces.web.requests.command_context import handle_command
from interfaces.web.requests.paging import Cursor, Filter, Limit
from interfaces.web.requests.read_your_writes import wait_for_projections
from interfaces.web.route_policy import OPERATOR, READER_OR_UTILITY, RoutePolicy
from projections.audit.stream_log import AsOf
from projections.dr_event.projection import DREventRow, key_of

Text = Annotated[str, Meta(min_length=1, max_length=1_000, pattern=r"^[^\x00]*\S[^\x00]*$")]


OutcomeFilter = Annotated[
    Outcome | None, QueryParameter(description="Of completed DR events: the outcome of the whole batch")
]


UtilityEventId = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=200,
        description="The id of a utility: at most one DR event of each, on one page",
    ),
]


class CancellationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Text


class OverrideBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lets a facility take part in spite of its degraded forecast."""

    facility_id: Annotated[str, Meta(min_length=1, max_length=200)]
    reason: Text


class RestoredByHandBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """States that somebody restored a building whose restore had failed."""

    facility_id: Annotated[str, Meta(min_length=1, max_length=200)]
    reason: Text


class DispatchCommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded part of a facility in a DR event."""

    dr_event_id: UUID
    facility_id: str
    done: Literal["overridden", "restored_by_hand"]


class DREventController(Controller):
    path = "/api/dr-events"
    tags = ("DR events",)

    @get(
        "/",
        summary="The newest first",
        policy=RoutePolicy(roles=READER_OR_UTILITY, cache="replica", projections=("dr_events",)),
    )
    async def listed(
        self,
        request: ApiRequest,
        web: Web,
        *,
        status: Filter = None,
        program: Filter = None,
        facility: Filter = None,
        outcome: OutcomeFilter = None,
        utility_event_id: UtilityEventId = None,
        cursor: Cursor = None,
        limit: Limit = 100,
        as_of: AsOfQuery = None,
    ) -> Response[Listing[DREventDocument]]:
        if utility_event_id is not None:
            found = await _of_utility_event(request, web, utility_event_id, parse_as_of(as_of))
            return Response(
                Listing(
                    items=tuple(
                        dr_event_document(row)
                        for row in found
                        if status in (None, row.status)
                        and program in (None, row.program_id)
                        and outcome in (None, row.outcome)
                        and (facility is None or facility in row.facility_ids)
                    )
                )
            )
        return await web.pages.listing(
            await dr_events_of(request, parse_as_of(as_of)),
            filters={"status": status, "program_id": program, "facility_ids": facility, "outcome": outcome},
            tenant=request.user.utility_id,
            cursor=cursor,
            limit=limit,
            as_item=dr_event_document,
        )

    @get(
        "/{dr_event_id:uuid}",
        summary="One DR event",
        policy=RoutePolicy(roles=READER_OR_UTILITY, cache="replica", projections=("dr_events",)),
    )
    async def one(
        self, request: ApiRequest, dr_event_id: FromPath[UUID], as_of: AsOfQuery = None
    ) -> Response[DREventDocument]:
        """`Prefer: wait=N` (s, at most 10) waits for the read model; `Preference-Applied` says that it caught up."""
        headers = await wait_for_projections(request, "dr_events")
        row = (await visible_dr_event(request, dr_event_id, parse_as_of(as_of))).dr_event
        return Response(dr_event_document(row), headers=headers)

    @get(
        "/{dr_event_id:uuid}/dispatches",
        summary="Each facility's part in it",
        policy=RoutePolicy(roles=READER_OR_UTILITY, cache="replica", projections=("dr_events", "dispatches")),
    )
    async def dispatches(
        self,
        request: ApiRequest,
        web: Web,
        dr_event_id: FromPath[UUID],
        *,
        cursor: Cursor = None,
        limit: Limit = 100,
        as_of: AsOfQuery = None,
    ) -> Response[Listing[DispatchDocument]]:
        """`Prefer: wait=N` as for the DR event itself."""
        headers = await wait_for_projections(request, "dr_events", "dispatches")
        answer = await web.pages.listing(
            (await visible_dr_event(request, dr_event_id, parse_as_of(as_of))).dispatches,
            filters={"dr_event_id": str(dr_event_id)},
            tenant=request.user.utility_id,
            cursor=cursor,
            limit=limit,
            as_item=dispatch_document,
        )
        answer.headers.update(headers)
        return answer

    @post(
        "/{dr_event_id:uuid}/cancellation",
        status_code=200,
        summary="Cancel, before the start or while it runs",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def cancel(
        self, request: ApiRequest, dr_event_id: FromPath[UUID], data: JSONBody[CancellationBody]
    ) -> Cancellation:
        """Repeating it changes nothing. After the window it is 409 with the state."""
        command = CancelDREvent(dr_event_id=dr_event_id, reason=data.reason)
        reply: Cancellation = await handle_command(request, command, reply_type=Cancellation)
        if reply.outcome == "ended":
            raise ended(dr_event_id, reply.status, "be cancelled")
        return reply

    @post(
        "/{dr_event_id:uuid}/overrides",
        status_code=202,
        summary="Override a degraded forecast",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def override(
        self, request: ApiRequest, dr_event_id: FromPath[UUID], data: JSONBody[OverrideBody]
    ) -> DispatchCommandResult:
        command = OverrideForecast(dr_event_id=dr_event_id, facility_id=data.facility_id, reason=data.reason)
        await handle_command(request, command)
        return DispatchCommandResult(dr_event_id=dr_event_id, facility_id=data.facility_id, done="overridden")

    @post(
        "/{dr_event_id:uuid}/restored-by-hand",
        status_code=202,
        summary="State that a building that may be curtailed was restored by hand",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def restored_by_hand(
        self, request: ApiRequest, dr_event_id: FromPath[UUID], data: JSONBody[RestoredByHandBody]
    ) -> DispatchCommandResult:
        """Repeating it changes nothing. Other DR events may use the facility then."""
        command = RestoreByHand(dr_event_id=dr_event_id, facility_id=data.facility_id, reason=data.reason)
        await handle_command(request, command)
        return DispatchCommandResult(
            dr_event_id=dr_event_id, facility_id=data.facility_id, done="restored_by_hand"
        )


async def _of_utility_event(
    request: ApiRequest, web: WebDependencies, utility_event_id: str, as_of: AsOf | None
) -> Sequence[DREventRow]:
    """DR events, one of each utility at most: our id follows from the utility and its own id."""
    tenant = request.user.utility_id
    view = await dr_events_of(request, as_of)

    def rows_of_it() -> Sequence[DREventRow]:
        utility_ids = (
            [tenant] if tenant is not None else [one.utility_id for one in web.portfolio.utilities()]
        )
        keys = [key_of(dr_event_id(one, utility_event_id)) for one in utility_ids]
        rows = view.by_key(keys)
        return [rows[key] for key in keys if key in rows]

    return await asyncio.to_thread(rows_of_it)
