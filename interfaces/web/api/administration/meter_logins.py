"""Routes of meters' logins at the embedded broker: the same acts as `gridproof keys meters`, for role admin alone.

The web process has no right over the broker's users. It asks the process of `gridproof up`, which has; a new password
is drawn here and sent once, and only its hash is passed on.
"""

import asyncio
from typing import Annotated
from uuid import UUID, uuid4

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from application.access.portfolio_ids import NotInPortfolio
from application.ports.operations.host_tasks import (
    CreateMeterLogin,
    HostState,
    HostTask,
    LoginWork,
    RevokeMeterLogin,
    State,
)
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.host_sources import HostSources
from interfaces.web.middleware.tracing import trace_id_of
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.command_context import actor_of
from interfaces.web.route_policy import ADMIN, RoutePolicy

COMMAND = "`gridproof keys meters create FACILITY`"
FacilityId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class MeterLoginDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A facility whose meters may log in, with its id as user."""

    facility_id: str


class MeterLoginTaskDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A login that is being made or revoked."""

    task_id: UUID
    facility_id: str
    is_new: bool
    """Else it is revoked."""
    state: State
    problem: str | None
    """Why it is refused."""


class MeterLoginsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The logins of the embedded broker."""

    is_managed: bool
    """Whether `gridproof up` runs the broker, so that logins can be made here."""
    mqtt_port: int | None
    items: tuple[MeterLoginDocument, ...]
    tasks: tuple[MeterLoginTaskDocument, ...]
    """Those under way."""


class MeterLoginBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    facility_id: FacilityId


class NewMeterLoginDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The password is sent this once, and counts once the task is done."""

    task: MeterLoginTaskDocument
    user: str
    password: str
    mqtt_port: int | None


class MeterLoginController(Controller):
    path = "/api/meter-logins"
    tags = ("keys",)

    @get(
        "/",
        summary="The facilities whose meters may log in, and what is under way",
        policy=RoutePolicy(roles=ADMIN),
    )
    async def listed(self, web: Web) -> MeterLoginsDocument:
        return await asyncio.to_thread(_listed, web)

    @get(
        "/tasks/{task_id:uuid}",
        summary="How far the making or revoking of a login is",
        policy=RoutePolicy(roles=ADMIN, has_etag=False),
    )
    async def task(self, web: Web, task_id: FromPath[UUID]) -> MeterLoginTaskDocument:
        host = _host(web)
        found = await asyncio.to_thread(host.tasks.find, task_id)
        if found is None or not isinstance(found.work, LoginWork):
            raise Problem("not-found", "there is no such task")
        return _document(found, found.work)

    @post(
        "/",
        status_code=202,
        summary="Make a login; its password is sent this once",
        policy=RoutePolicy(roles=ADMIN, rate_limit="webhook"),
    )
    async def create(
        self, request: ApiRequest, web: Web, data: JSONBody[MeterLoginBody]
    ) -> Response[NewMeterLoginDocument]:
        """It counts once its task is done, a second later. The meters of the facility publish its readings with it, and
        nothing else."""
        by, trace_id = actor_of(request), trace_id_of(request.scope)
        made = await asyncio.to_thread(_create, web, data.facility_id, by=by, trace_id=trace_id)
        return Response(made, status_code=202, headers={"Cache-Control": "no-store"})

    @delete(
        "/{facility_id:str}",
        status_code=202,
        summary="Revoke a login; whoever is connected with it is disconnected",
        policy=RoutePolicy(roles=ADMIN, rate_limit="webhook"),
    )
    async def revoke(
        self, request: ApiRequest, web: Web, facility_id: FromPath[str]
    ) -> MeterLoginTaskDocument:
        by, trace_id = actor_of(request), trace_id_of(request.scope)
        return await asyncio.to_thread(_revoke, web, facility_id, by=by, trace_id=trace_id)


def _host(web: WebDependencies) -> HostSources:
    if web.host is None:
        raise Problem("not-built-yet", f"this system makes logins on the command line: {COMMAND}")
    return web.host


def _listed(web: WebDependencies) -> MeterLoginsDocument:
    state = None if web.host is None else web.host.running()
    if web.host is None or state is None or state.meter_logins is None:
        return MeterLoginsDocument(is_managed=False, mqtt_port=None, items=(), tasks=())
    tasks = [(one, one.work) for one in web.host.tasks.open_tasks()]
    return MeterLoginsDocument(
        is_managed=True,
        mqtt_port=state.mqtt_port,
        items=tuple(MeterLoginDocument(facility_id=one) for one in state.meter_logins),
        tasks=tuple(_document(one, work) for one, work in tasks if isinstance(work, LoginWork)),
    )


def _create(web: WebDependencies, facility_id: str, *, by: str, trace_id: str) -> NewMeterLoginDocument:
    host = _host(web)
    state = _managed(web, host)
    if facility_id in (state.meter_logins or ()):
        raise Problem("not-allowed-now", f"{facility_id} has a login already; revoke it for another password")
    _check_is_in_portfolio(web, facility_id)
    drawn = host.draw_password()
    work = CreateMeterLogin(facility_id=facility_id, password_hash=drawn.password_hash)
    return NewMeterLoginDocument(
        task=_ask(host, work, by=by, trace_id=trace_id),
        user=facility_id,
        password=drawn.password,
        mqtt_port=state.mqtt_port,
    )


def _revoke(web: WebDependencies, facility_id: str, *, by: str, trace_id: str) -> MeterLoginTaskDocument:
    host = _host(web)
    if facility_id not in (_managed(web, host).meter_logins or ()):
        raise Problem("not-found", "there is no such login")
    return _ask(host, RevokeMeterLogin(facility_id=facility_id), by=by, trace_id=trace_id)


def _managed(web: WebDependencies, host: HostSources) -> HostState:
    """Raises Problem where the broker is not that of `gridproof up`, or it does not run."""
    state = host.running()
    if state is None or state.meter_logins is None:
        raise Problem(
            "not-allowed-now",
            "`gridproof up` does not run the broker of this system: set up its users where they are "
            f"(docs/guides/meters.md), or with {COMMAND}",
        )
    return state


def _check_is_in_portfolio(web: WebDependencies, facility_id: str) -> None:
    ids = web.portfolio.ids
    try:
        if ids is not None:
            ids.check_facility(facility_id)
    except NotInPortfolio as error:
        reason = ProblemReason(code="invalid_field", detail=str(error), field="facility_id")
        raise Problem("invalid-request", str(error), (reason,)) from None


def _ask(host: HostSources, work: LoginWork, *, by: str, trace_id: str) -> MeterLoginTaskDocument:
    """Ask the host; for a facility one task at a time."""
    open_tasks = host.tasks.open_tasks()
    if any(
        isinstance(one.work, LoginWork) and one.work.facility_id == work.facility_id for one in open_tasks
    ):
        raise Problem("not-allowed-now", f"the login of {work.facility_id} is being changed; wait a second")
    task_id = uuid4()
    host.tasks.add(task_id, work, by=by, trace_id=trace_id)
    is_new = isinstance(work, CreateMeterLogin)
    return MeterLoginTaskDocument(
        task_id=task_id, facility_id=work.facility_id, is_new=is_new, state="waiting", problem=None
    )


def _document(task: HostTask, work: LoginWork) -> MeterLoginTaskDocument:
    return MeterLoginTaskDocument(
        task_id=task.task_id,
        facility_id=work.facility_id,
        is_new=isinstance(work, CreateMeterLogin),
        state=task.state,
        problem=task.problem,
    )
