"""Authentication of API keys by their hash, with a cache of some seconds."""

import time
from collections.abc import Callable
from datetime import datetime

from application.access.api_keys import is_genuine, parse_token
from application.ports.access.api_keys import ApiKey, ApiKeys, StoredApiKey
from interfaces.web.authentication.key_uses import KeyUses
from interfaces.web.caching.lookup_cache import LookupCache
from interfaces.web.problems import Problem

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="gridproof"'}


class Authenticator:
    """Authenticates callers by API key. For one event loop."""

    def __init__(
        self,
        api_keys: ApiKeys,
        *,
        now: Callable[[], datetime],
        is_away: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_away`: whether PostgreSQL does not answer at the moment."""
        self._keys: LookupCache[str, StoredApiKey] = LookupCache(
            "api keys", api_keys.among, is_away=is_away, monotonic=monotonic
        )
        self._now = now
        self._uses = KeyUses(api_keys, now=now, is_away=is_away, monotonic=monotonic)

    async def principal(self, authorization: str | None, *, only_reads: bool = False) -> ApiKey:
        """The key in an `Authorization` header. Raises the problem `unauthenticated`, the same for all causes."""
        scheme, _, token = (authorization or "").partition(" ")
        parsed = parse_token(token.strip()) if scheme.lower() == "bearer" else None
        if parsed is None:
            raise unauthenticated()
        key_id, secret = parsed
        stored = await self._keys.find(key_id, only_reads=only_reads)
        if stored is None or not is_genuine(stored, secret, at=self._now()):
            raise unauthenticated()
        self._uses.note(key_id)
        return stored.api_key

    async def key_in_force(self, key_id: str, *, only_reads: bool = False) -> ApiKey:
        """The key of a session, by its id. Raises the problem `unauthenticated`."""
        stored = await self._keys.find(key_id, only_reads=only_reads)
        if stored is None or not stored.api_key.is_valid(self._now()):
            raise unauthenticated()
        self._uses.note(key_id)
        return stored.api_key


def unauthenticated() -> Problem:
    return Problem(
        "unauthenticated",
        "no valid API key; send `Authorization: Bearer <api key>`, or sign in at /api/session",
        headers=dict(CHALLENGE),
    )
