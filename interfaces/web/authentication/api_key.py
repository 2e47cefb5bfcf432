"""Authentication of API keys by their hash, with a cache of some seconds."""

import time
from collections.abc import Callable

from application.access.api_keys import is_genuine, parse_token
from application.ports.access.api_keys import ApiKey, ApiKeys, StoredApiKey
from interfaces.web.caching.lookup_cache import LookupCache
from interfaces.web.problems import Problem

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="gridproof"'}


class Authenticator:
    """Authenticates callers by API key."""

    def __init__(
        self,
        api_keys: ApiKeys,
        *,
        is_away: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_away`: whether PostgreSQL does not answer at the moment."""
        self._keys: LookupCache[str, StoredApiKey] = LookupCache(
            api_keys.among, is_away=is_away, monotonic=monotonic
        )

    async def principal(self, authorization: str | None, *, only_reads: bool = False) -> ApiKey:
        """The key in an `Authorization` header. Raises the problem `unauthenticated`, the same for all causes."""
        scheme, _, token = (authorization or "").partition(" ")
        parsed = parse_token(token.strip()) if scheme.lower() == "bearer" else None
        if parsed is None:
            raise unauthenticated()
        key_id, secret = parsed
        stored = await self._keys.find(key_id, only_reads=only_reads)
        if stored is None or not is_genuine(stored, secret):
            raise unauthenticated()
        return stored.api_key

    def cached(self, authorization: str) -> ApiKey | None:
        """The key, if it is cached; None does not mean that it is invalid."""
        scheme, _, token = authorization.partition(" ")
        parsed = parse_token(token.strip()) if scheme.lower() == "bearer" else None
        stored = None if parsed is None else self._keys.cached(parsed[0])
        if parsed is None or stored is None or not is_genuine(stored, parsed[1]):
            return None
        return stored.api_key

    async def key_in_force(self, key_id: str, *, only_reads: bool = False) -> ApiKey:
        """The key of a session, by its id. Raises the problem `unauthenticated`."""
        stored = await self._keys.find(key_id, only_reads=only_reads)
        if stored is None or stored.api_key.revoked_at is not None:
            raise unauthenticated()
        return stored.api_key


def unauthenticated() -> Problem:
    return Problem(
        "unauthenticated",
        "no valid API key; send `Authorization: Bearer <api key>`, or sign in at /api/session",
        headers=dict(CHALLENGE),
    )
