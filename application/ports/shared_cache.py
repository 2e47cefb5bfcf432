"""A shared cache of frequently requested responses. Entries may expire at any time, and the cache may be
unavailable."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class CacheUnavailable(ConnectionError):
    """The cache did not answer in time, or its circuit breaker is open."""


class RateLimitedGet(msgspec.Struct, frozen=True):
    """A rate-limited request for one entry; `caller` names who asks for what, and has a rate limit of its
    own."""

    caller: str
    key: str


class RateLimitedResult(msgspec.Struct, frozen=True):
    """The result of a rate-limited request. `wait_s` is 0 where it was allowed, else the wall seconds until
    it is."""

    wait_s: float
    answer: bytes | None


class SharedCache(Protocol):
    """Asynchronous. Every method is one round trip, and raises CacheUnavailable."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The entries in the order of `keys`; None for a missing one."""
        ...

    async def get_rate_limited(
        self, requests: Sequence[RateLimitedGet], *, every_wall_s: float
    ) -> list[RateLimitedResult]:
        """The results in the order of `requests`. Each caller is allowed one request in `every_wall_s`, and
        gets the entry under its key with it.

        A refused request does not count, and returns no entry. Two requests of one caller in one call count
        as two.
        """
        ...

    async def put_many(self, answers: Mapping[str, bytes], *, ttl_wall_s: float) -> None:
        """Store entries for `ttl_wall_s` seconds, replacing those under the same keys."""
        ...
