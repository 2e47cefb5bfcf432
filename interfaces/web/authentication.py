"""Who calls: API keys recognised by their hash, remembered for a few seconds so that the door is fast."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from application.api_keys import is_genuine, parse_token
from application.ports.api_keys import ApiKey, ApiKeys, StoredApiKey
from interfaces.web.problems import Problem

REMEMBERED_S = 5.0
"""How long a revoked key may still be taken."""
MOST_REMEMBERED = 10_000
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="gridproof"'}


class Authenticator:
    """Recognises API keys; unknown ids are remembered too, so that guessing costs the store little."""

    def __init__(self, api_keys: ApiKeys, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._api_keys = api_keys
        self._monotonic = monotonic
        self._remembered: OrderedDict[str, tuple[float, StoredApiKey | None]] = OrderedDict()

    async def principal(self, authorization: str | None) -> ApiKey:
        """The key in an `Authorization` header. Raises the problem `unauthenticated`, the same for all causes."""
        scheme, _, token = (authorization or "").partition(" ")
        parsed = parse_token(token.strip()) if scheme.lower() == "bearer" else None
        if parsed is None:
            raise unauthenticated()
        key_id, secret = parsed
        stored = await self._find(key_id)
        if stored is None or not is_genuine(stored, secret):
            raise unauthenticated()
        return stored.api_key

    def remembered(self, authorization: str) -> ApiKey | None:
        """The key, if nothing has to be looked up for it; None does not say that it is none."""
        scheme, _, token = authorization.partition(" ")
        parsed = parse_token(token.strip()) if scheme.lower() == "bearer" else None
        known = None if parsed is None else self._remembered.get(parsed[0])
        if parsed is None or known is None or self._monotonic() >= known[0] or known[1] is None:
            return None
        return known[1].api_key if is_genuine(known[1], parsed[1]) else None

    async def _find(self, key_id: str) -> StoredApiKey | None:
        known = self._remembered.get(key_id)
        if known is not None and self._monotonic() < known[0]:
            return known[1]
        stored = await asyncio.to_thread(self._api_keys.find, key_id)
        self._remembered[key_id] = (self._monotonic() + REMEMBERED_S, stored)
        self._remembered.move_to_end(key_id)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return stored


def unauthenticated() -> Problem:
    return Problem(
        "unauthenticated",
        "no valid API key; send `Authorization: Bearer <api key>`",
        headers=dict(CHALLENGE),
    )
