"""Routes of commands to registered facilities: maintenance, deactivation, opt-out and opt-in."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from application.commands.facility import (
    DeactivateFacility,
    Deactivation,
    EndMaintenance,
    OptInFacility,
    OptingOut,
    OptOutFacility,
    ReactivateFacility,
    StartMaintenance,
)
from interfaces.web.api.dr_event.controller import Text
from interfaces.web.guard.access import ApiRequest
from interfaces.web.requests.command_context import handle_command
from interfaces.web.requests.visibility import unknown_facility
from interfaces.web.route_policy import OPERATOR, OWNER, RoutePolicy


class MaintenanceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    action: Literal["start", "end"]
    reason: Annotated[str, Meta(max_length=1_000, pattern=r"^[^\x00]*$")] = ""
    """Required to start."""


class ReasonBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Text


class OptingBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without `dr_event_id` it applies to every DR event, future ones included."""

    reason: Text
    dr_event_id: UUID | None = None


Done = Literal["maintenance_started", "maintenance_ended", "reactivated"]


class FacilityCommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The act; it was done also if it was so before."""

    facility_id: str
    done: Done


class FacilityCommandController(Controller):
    path = "/api/facilities"
    tags = ("facilities",)

    @post(
        "/{facility_id:str}/maintenance",
        status_code=200,
        summary="Start or end maintenance",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def maintain(
        self, request: ApiRequest, facility_id: FromPath[str], data: JSONBody[MaintenanceBody]
    ) -> FacilityCommandResult:
        command = (
            StartMaintenance(facility_id=facility_id, reason=data.reason)
            if data.action == "start"
            else EndMaintenance(facility_id=facility_id)
        )
        await handle_command(request, command)
        done: Done = "maintenance_started" if data.action == "start" else "maintenance_ended"
        return FacilityCommandResult(facility_id=facility_id, done=done)

    @post(
        "/{facility_id:str}/deactivation",
        status_code=200,
        summary="Take the facility out of service for good",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def deactivate(
        self, request: ApiRequest, facility_id: FromPath[str], data: JSONBody[ReasonBody]
    ) -> Deactivation:
        """Its future reservations are released. Refused while it serves (opt it out), and until that is measured."""
        command = DeactivateFacility(facility_id=facility_id, reason=data.reason)
        reply: Deactivation = await handle_command(request, command, reply_type=Deactivation)
        return reply

    @post(
        "/{facility_id:str}/reactivation",
        status_code=200,
        summary="Put a deactivated facility into service again",
        policy=RoutePolicy(roles=OPERATOR),
    )
    async def reactivate(
        self, request: ApiRequest, facility_id: FromPath[str], data: JSONBody[ReasonBody]
    ) -> FacilityCommandResult:
        """As it was registered."""
        command = ReactivateFacility(facility_id=facility_id, reason=data.reason)
        await handle_command(request, command)
        return FacilityCommandResult(facility_id=facility_id, done="reactivated")

    @post(
        "/{facility_id:str}/opt-out",
        status_code=200,
        summary="The facility does not take part; it is restored at once",
        policy=RoutePolicy(roles=OPERATOR | OWNER, one_facility=True),
    )
    async def opt_out(
        self, request: ApiRequest, facility_id: FromPath[str], data: JSONBody[OptingBody]
    ) -> OptingOut:
        """For one DR event, or for all until it opts in again."""
        return await _opted(request, OptOutFacility, facility_id, data)

    @post(
        "/{facility_id:str}/opt-in",
        status_code=200,
        summary="The facility takes part again",
        policy=RoutePolicy(roles=OPERATOR | OWNER, one_facility=True),
    )
    async def opt_in(
        self, request: ApiRequest, facility_id: FromPath[str], data: JSONBody[OptingBody]
    ) -> OptingOut:
        """An owner ends only what an owner began."""
        return await _opted(request, OptInFacility, facility_id, data)


async def _opted(
    request: ApiRequest, kind: type[OptOutFacility | OptInFacility], facility_id: str, data: OptingBody
) -> OptingOut:
    if request.user.facility_id not in (None, facility_id):
        raise unknown_facility()
    command = kind(
        facility_id=facility_id,
        dr_event_id=data.dr_event_id,
        reason=data.reason,
        by_owner=request.user.role == "owner",
    )
    reply: OptingOut = await handle_command(request, command, reply_type=OptingOut)
    return reply
