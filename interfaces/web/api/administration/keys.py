"""Routes of API keys: the same acts as `gridproof keys`, for role admin alone."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from application.access.api_keys import (
    ID_BYTES,
    SECRET_BYTES,
    IssuedApiKey,
    issue,
    revoke,
    rotate,
)
from application.access.portfolio_ids import NotInPortfolio
from application.ports.access.api_keys import ApiKey, Role
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.listing import Listing
from interfaces.web.problems import Problem, ProblemReason
from interfaces.web.requests.command_context import actor_of
from interfaces.web.requests.paging import Cursor, Limit, Place, newest_of, place_of
from interfaces.web.route_policy import ADMIN, RoutePolicy

LISTED = "keys"
MOST_HOURS = 24 * 366
Id = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
ExpiresAt = Annotated[datetime, Meta(tz=True)]


class ApiKeyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    key_id: str
    role: Role
    utility_id: str | None
    facility_id: str | None
    name: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaces: str | None
    """The key that it was rotated from."""
    last_used_at: datetime | None
    """At least roughly: stored at most once an hour."""
    is_valid: bool
    """Neither revoked nor expired."""


class IssuedKeyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A new key. `key` is sent this once: it is stored hashed."""

    api_key: ApiKeyDocument
    key: str


class KeyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key of role utility names its utility, one of role owner its facility; one of role dashboard may name one."""

    role: Role
    utility_id: Id | None = None
    facility_id: Id | None = None
    name: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*$")] | None = None
    """It stands in no domain event, and can be forgotten."""
    expires_at: ExpiresAt | None = None


class RotationBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    overlap_hours: Annotated[float, Meta(ge=0, le=MOST_HOURS)] = 168.0
    """For how long the old key still works."""
    expires_at: ExpiresAt | None = None
    """Of the new key."""


class KeyController(Controller):
    path = "/api/keys"
    tags = ("keys",)

    @get("/", summary="The oldest first, without secrets", policy=RoutePolicy(roles=ADMIN))
    async def listed(self, web: Web, cursor: Cursor = None, limit: Limit = 100) -> Listing[ApiKeyDocument]:
        after = place_of(LISTED, cursor)
        found = await asyncio.to_thread(web.api_keys.listed, after=after, limit=limit + 1)
        keys, following = newest_of(LISTED, found, limit, lambda key: Place(key.created_at, key.key_id))
        return Listing(items=tuple(_document(key, web) for key in keys), next_cursor=following)

    @post(
        "/",
        status_code=201,
        summary="Make a key; it is sent this once",
        policy=RoutePolicy(roles=ADMIN, rate_limit="webhook"),
    )
    async def create(
        self, request: ApiRequest, web: Web, data: JSONBody[KeyBody]
    ) -> Response[IssuedKeyDocument]:
        return await _issued(web, lambda: _issue(web, data, by=actor_of(request)))

    @post(
        "/{key_id:str}/rotation",
        status_code=201,
        summary="Make a key in place of another one; it is sent this once",
        policy=RoutePolicy(roles=ADMIN, rate_limit="webhook"),
    )
    async def rotate(
        self, request: ApiRequest, web: Web, key_id: FromPath[str], data: JSONBody[RotationBody]
    ) -> Response[IssuedKeyDocument]:
        """It has the role, scope and name of the old key, which expires at the end of the overlap."""
        return await _issued(
            web,
            lambda: rotate(
                web.api_keys,
                key_id,
                overlap=timedelta(hours=data.overlap_hours),
                expires_at=data.expires_at,
                by=actor_of(request),
                at=web.decision_clock.now(),
                entropy=secrets.token_bytes(SECRET_BYTES + ID_BYTES),
            ),
        )

    @delete(
        "/{key_id:str}",
        status_code=200,
        summary="Revoke a key for good",
        policy=RoutePolicy(roles=ADMIN, rate_limit="webhook"),
    )
    async def revoke(self, request: ApiRequest, web: Web, key_id: FromPath[str]) -> ApiKeyDocument:
        """It is refused a few seconds later, and its sessions with it. A second call changes nothing."""
        at = web.decision_clock.now()
        revoked = await asyncio.to_thread(revoke, web.api_keys, key_id, by=actor_of(request), at=at)
        return _document(revoked, web)


def _issue(web: WebDependencies, body: KeyBody, *, by: str) -> IssuedApiKey:
    _check_scope_exists(web, body)
    return issue(
        web.api_keys,
        role=body.role,
        utility_id=body.utility_id,
        facility_id=body.facility_id,
        name=body.name or None,
        expires_at=body.expires_at,
        by=by,
        at=web.decision_clock.now(),
        entropy=secrets.token_bytes(SECRET_BYTES + ID_BYTES),
    )


def _check_scope_exists(web: WebDependencies, body: KeyBody) -> None:
    """A key of a misspelt id would be of no use."""
    ids = web.portfolio.ids
    if ids is None:
        return
    for field, name, check in (
        ("utility_id", body.utility_id, ids.check_utility),
        ("facility_id", body.facility_id, ids.check_facility),
    ):
        try:
            if name is not None:
                check(name)
        except NotInPortfolio as error:
            raise _refused(field, str(error)) from None


def _refused(field: str, detail: str) -> Problem:
    return Problem(
        "invalid-request", detail, (ProblemReason(code="invalid_field", detail=detail, field=field),)
    )


async def _issued(web: WebDependencies, make: Callable[[], IssuedApiKey]) -> Response[IssuedKeyDocument]:
    made = await asyncio.to_thread(make)
    document = IssuedKeyDocument(api_key=_document(made.api_key, web), key=made.token)
    return Response(document, status_code=201, headers={"Cache-Control": "no-store"})


def _document(key: ApiKey, web: WebDependencies) -> ApiKeyDocument:
    return ApiKeyDocument(
        key_id=key.key_id,
        role=key.role,
        utility_id=key.utility_id,
        facility_id=key.facility_id,
        name=key.name,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        replaces=key.replaces,
        last_used_at=key.last_used_at,
        is_valid=key.is_valid(web.clock.now()),
    )
