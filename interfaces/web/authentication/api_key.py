"""Authentication of API keys by their hash, with a cache of some seconds, and a note of when each was last used."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from application.access.api_keys import parse_token
from application.bounded_cache import BoundedCache
from application.ports.access.api_keys import ApiKey, ApiKeys, ApiKeysUnavailable, StoredApiKey
from interfaces.web.caching.lookup_cache import LookupCache
from interfaces.web.problems import Problem

_log = structlog.get_logger(__name__)

NOTED_EVERY_S = 3_600.0
"""Wall seconds. A write for each request would cost more than the request."""
MAX_KEYS = 10_000
WRITES_AT_ONCE = 4
"""Each holds a thread, in an outage until its timeout."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="gridproof"'}


class KeyUses:
    """When each key was last used, at most once an hour. No request waits for a note. One that fails is made up for by
    the next use after an hour, one that is left out while `is_away` by the next use after that. For one event loop.
    """

    def __init__(
        self,
        api_keys: ApiKeys,
        *,
        now: Callable[[], datetime],
        is_away: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api_keys = api_keys
        self._now = now
        self._is_away = is_away
        self._noted = BoundedCache[str, None](
            "noted key uses", max_size=MAX_KEYS, ttl_s=NOTED_EVERY_S, monotonic=monotonic
        )
        self._writing: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(WRITES_AT_ONCE)

    def note(self, key_id: str) -> None:
        """The key is being used. `key_id` exists, so that callers cannot make this grow."""
        if key_id in self._noted or self._is_away():
            return
        self._noted.put(key_id, None)
        task = asyncio.get_running_loop().create_task(self._write(key_id, self._now()))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, key_id: str, at: datetime) -> None:
        try:
            async with self._slots:
                if self._is_away():
                    self._noted.pop(key_id)
                    return
                await asyncio.to_thread(self._api_keys.note_use, key_id, at=at)
        except ApiKeysUnavailable as error:
            _log.warning("last use of a key not stored", key_id=key_id, why=str(error))


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

    async def principal(self, authorization: str, *, only_reads: bool = False) -> ApiKey:
        """The key in an `Authorization` header. Raises the problem `unauthenticated`, the same for all causes."""
        scheme, _, token = authorization.partition(" ")
        parsed = parse_token(token.strip()) if scheme.lower() == "bearer" else None
        if parsed is None:
            raise unauthenticated(is_given=scheme.lower() == "bearer")
        key_id, secret = parsed
        stored = await self._keys.find(key_id, only_reads=only_reads)
        if stored is None or not stored.is_genuine(secret, at=self._now()):
            raise unauthenticated(is_given=True)
        self._uses.note(key_id)
        return stored.api_key

    async def key_in_force(self, key_id: str, *, only_reads: bool = False) -> ApiKey:
        """The key of a session, by its id. Raises the problem `unauthenticated`."""
        stored = await self._keys.find(key_id, only_reads=only_reads)
        if stored is None or not stored.api_key.is_valid(self._now()):
            raise unauthenticated()
        self._uses.note(key_id)
        return stored.api_key


def unauthenticated(*, is_given: bool = False) -> Problem:
    """`is_given`: there was a key. What is wrong with it is not said."""
    detail = (
        "this API key is not valid: it is mistyped, revoked or expired"
        if is_given
        else "no valid API key; send `Authorization: Bearer <api key>`, or sign in at /api/session"
    )
    return Problem("unauthenticated", detail, headers=dict(CHALLENGE))
