"""Session cookies: they stand for an API key, and other sites cannot use them to change anything."""

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
AnyConnection = ASGIConnection[Any, Any, Any, Any]


class NewSession(NamedTuple):
    """A new session and its token, which is stored nowhere."""

    session: Session
    token: str


class SessionAuthenticator:
    """Authenticates callers by session cookie; a session ends with its key."""

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
        self._lookups: LookupCache[bytes, tuple[Session, float]] = LookupCache(
            "sessions", self._look_up, is_away=is_away, monotonic=monotonic
        )

    async def begin(self, api_key: ApiKey) -> NewSession:
        """Raises ApiKeysUnavailable."""
        token = new_token(secrets.token_bytes(SECRET_BYTES))
        hashed = token_hash(token) or b""
        session = await asyncio.to_thread(self._sessions.begin, hashed, api_key.key_id, lasts_s=LASTS_S)
        return NewSession(session, token)

    async def end(self, token: str) -> None:
        """Takes effect at once in this process, within seconds in others. Raises ApiKeysUnavailable."""
        hashed = token_hash(token)
        if hashed is not None:
            await asyncio.to_thread(self._sessions.end, hashed)
            self._lookups.invalidate(hashed)

    async def session(self, token: str, *, only_reads: bool = False) -> Session:
        """Raises the problem `unauthenticated`, or ApiKeysUnavailable."""
        hashed = token_hash(token)
        found = None if hashed is None else await self._lookups.find(hashed, only_reads=only_reads)
        if found is None or self._monotonic() >= found[1]:
            raise unauthenticated()
        return found[0]

    async def principal(self, token: str, *, only_reads: bool = False) -> ApiKey:
        """The API key of the session. Raises as `session` does."""
        session = await self.session(token, only_reads=only_reads)
        return await self._authenticator.key_in_force(session.key_id, only_reads=only_reads)

    def _look_up(self, hashes: Collection[bytes]) -> dict[bytes, tuple[Session, float]]:
        """With the end of each session on the monotonic clock of this process."""
        found = self._sessions.among(hashes)
        now = self._monotonic()
        return {hashed: (session, now + session.lasts_s) for hashed, session in found.items()}


def token_of(connection: AnyConnection) -> str | None:
    """The cookie; None if an `Authorization` header is sent, which takes precedence."""
    return None if "authorization" in connection.headers else connection.cookies.get(COOKIE)


def check_is_own_page(connection: AnyConnection) -> None:
    """Refuse a change that does not come from a page of this origin: browsers send the cookie by themselves.

    `SameSite=Strict` tells the browser so. This checks it again, and refuses other hosts of the same site too. Raises
    the problem `forbidden`.
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
    """For this origin only; scripts cannot read it."""
    return Cookie(
        key=COOKIE,
        value=token,
        max_age=int(lasts_s),
        path="/",
        secure=connection.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
