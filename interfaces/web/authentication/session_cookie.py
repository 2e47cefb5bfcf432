"""People who signed in: the cookie that stands for an API key, and what keeps other sites from using it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from application.access.sessions import LASTS_S, SECRET_BYTES, new_token, token_hash
from application.ports.access.api_keys import ApiKey
from application.ports.access.sessions import Session, Sessions
from interfaces.web.authentication.api_key import Authenticator, unauthenticated
from interfaces.web.caching.lookup_cache import LookupCache
from interfaces.web.problems import Problem

COOKIE = "gridproof_session"
READING = frozenset({"GET", "HEAD"})
AnyConnection = ASGIConnection[Any, Any, Any, Any]


class Begun(NamedTuple):
    """A new session and its token, which is never to be had again."""

    session: Session
    token: str


class SignedIn:
    """Recognises sessions as the authenticator does keys; a session ends with its key."""

    def __init__(
        self,
        sessions: Sessions,
        authenticator: Authenticator,
        *,
        is_away: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._authenticator = authenticator
        self._monotonic = monotonic
        self._known: LookupCache[bytes, tuple[Session, float]] = LookupCache(
            self._look_up, is_away=is_away, monotonic=monotonic
        )

    async def begin(self, api_key: ApiKey) -> Begun:
        """Raises ApiKeysUnavailable."""
        token = new_token(secrets.token_bytes(SECRET_BYTES))
        hashed = token_hash(token) or b""
        session = await asyncio.to_thread(self._sessions.begin, hashed, api_key.key_id, lasts_s=LASTS_S)
        return Begun(session, token)

    async def end(self, token: str) -> None:
        """At once here, within seconds in other processes. Raises ApiKeysUnavailable."""
        hashed = token_hash(token)
        if hashed is not None:
            await asyncio.to_thread(self._sessions.end, hashed)
            self._known.forget(hashed)

    async def session(self, token: str, *, only_reads: bool = False) -> Session:
        """Raises the problem `unauthenticated`, or ApiKeysUnavailable."""
        hashed = token_hash(token)
        found = None if hashed is None else await self._known.find(hashed, only_reads=only_reads)
        if found is None or self._monotonic() >= found[1]:
            raise unauthenticated()
        return found[0]

    async def principal(self, token: str, *, only_reads: bool = False) -> ApiKey:
        """The key that was signed in with. Raises as `session` does."""
        session = await self.session(token, only_reads=only_reads)
        return await self._authenticator.key_in_force(session.key_id, only_reads=only_reads)

    def _look_up(self, hashes: Collection[bytes]) -> dict[bytes, tuple[Session, float]]:
        """With when each ends, by this process's own clock that only goes on."""
        found = self._sessions.among(hashes)
        now = self._monotonic()
        return {hashed: (session, now + session.lasts_s) for hashed, session in found.items()}


async def caller_of(connection: AnyConnection, authenticator: Authenticator, signed_in: SignedIn) -> ApiKey:
    """The API key that a request comes with: in its `Authorization` header, else by the session of its cookie.

    Raises the problems `unauthenticated` and `forbidden`, or ApiKeysUnavailable.
    """
    only_reads = str(connection.scope["method"]) in READING  # type: ignore[typeddict-item]
    authorization, token = connection.headers.get("authorization"), token_of(connection)
    if authorization is not None or token is None:
        return await authenticator.principal(authorization, only_reads=only_reads)
    if not only_reads:
        check_is_own_page(connection)
    return await signed_in.principal(token, only_reads=only_reads)


def token_of(connection: AnyConnection) -> str | None:
    """What is in the cookie; whoever sends an `Authorization` header does not go by it."""
    return None if "authorization" in connection.headers else connection.cookies.get(COOKIE)


def check_is_own_page(connection: AnyConnection) -> None:
    """A browser sends the cookie by itself: what changes something must come from a page of this very origin.

    `SameSite=Strict` says so to the browser; this checks it again, and other hosts of the same site are refused too.
    Raises the problem `forbidden`.
    """
    headers = connection.headers
    site = headers.get("sec-fetch-site")
    if site is not None:
        own = site == "same-origin"
    else:
        origin = urlsplit(headers.get("origin", ""))
        own = bool(origin.netloc) and origin.netloc.lower() == headers.get("host", "").lower()
    if not own:
        raise Problem(
            "forbidden",
            "with the session's cookie only a page of this origin may change something; send the API key instead",
        )


def cookie_of(connection: AnyConnection, token: str, *, lasts_s: float) -> Cookie:
    """For this origin alone, out of reach of scripts."""
    return Cookie(
        key=COOKIE,
        value=token,
        max_age=int(lasts_s),
        path="/",
        secure=connection.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
