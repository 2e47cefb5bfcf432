"""Routes of sessions: signing in with an API key sets a short-lived cookie."""

from datetime import datetime

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar.datastructures import Cookie

from application.ports.access.api_keys import ApiKey, Role
from interfaces.web.authentication.session_cookie import cookie_of, token_of
from interfaces.web.edge import Web
from interfaces.web.guard.access import ApiRequest
from interfaces.web.route_policy import EVERY_KEY, RoutePolicy


class SessionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The signed-in user, as the page needs it."""

    role: Role
    utility_id: str | None
    facility_id: str | None
    expires_at: datetime | None
    """Wall-clock time; null with an API key, which does not expire."""


class SessionController(Controller):
    path = "/api/session"
    tags = ("sign-in",)

    @post(
        "/",
        summary="Sign in with an API key: sets a cookie for 8 hours at most",
        policy=RoutePolicy(roles=EVERY_KEY, one_facility=True, rate_limit="sign_in"),
    )
    async def begin(self, request: ApiRequest, web: Web) -> Response[SessionDocument]:
        """The session ends with its key. Changes with the cookie are accepted from pages of this origin only."""
        session, token = await web.session_authenticator.begin(request.user)
        return Response(
            _document(request.user, session.expires_at),
            cookies=[cookie_of(request, token, lasts_s=session.lasts_s)],
        )

    @get(
        "/",
        summary="Who is signed in, and until when",
        policy=RoutePolicy(roles=EVERY_KEY, one_facility=True, needs_store=False),
    )
    async def current(self, request: ApiRequest, web: Web) -> SessionDocument:
        token = token_of(request)
        if token is None:
            return _document(request.user, None)
        session = await web.session_authenticator.session(token, only_reads=True)
        return _document(request.user, session.expires_at)

    @delete(
        "/",
        summary="Sign out",
        policy=RoutePolicy(roles=EVERY_KEY, one_facility=True),
    )
    async def end(self, request: ApiRequest, web: Web) -> Response[None]:
        token = token_of(request)
        if token is not None:
            await web.session_authenticator.end(token)
        return Response(None, status_code=204, cookies=[_expired_cookie(request)])


def _expired_cookie(request: ApiRequest) -> Cookie:
    return cookie_of(request, "", lasts_s=0)


def _document(api_key: ApiKey, expires_at: datetime | None) -> SessionDocument:
    return SessionDocument(
        role=api_key.role,
        utility_id=api_key.utility_id,
        facility_id=api_key.facility_id,
        expires_at=expires_at,
    )
