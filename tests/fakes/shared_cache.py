"""A cache in memory; it passes the same contract suite as Redis's."""

import time
from collections.abc import Mapping, Sequence

from application.ports.shared_cache import CacheUnavailable, RateLimitedGet, RateLimitedResult


class FakeSharedCache:
    """`available = False` makes every call raise CacheUnavailable; `asked` holds the keys of each round
    trip."""

    def __init__(self) -> None:
        self.available = True
        self.asked: list[tuple[str, ...]] = []
        self.kept: dict[str, tuple[bytes, float]] = {}
        self.next_allowed_at: dict[str, float] = {}

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self._check()
        self.asked.append(tuple(keys))
        found = [self.kept.get(key) for key in keys]
        return [one[0] if one is not None and one[1] > time.monotonic() else None for one in found]

    async def get_rate_limited(
        self, requests: Sequence[RateLimitedGet], *, every_wall_s: float
    ) -> list[RateLimitedResult]:
        self._check()
        found = []
        for request in requests:
            now = time.monotonic()
            wait_s = max(0.0, self.next_allowed_at.get(request.caller, now) - now)
            if wait_s == 0.0:
                self.next_allowed_at[request.caller] = now + every_wall_s
            kept = self.kept.get(request.key) if wait_s == 0.0 else None
            found.append(RateLimitedResult(wait_s, kept[0] if kept is not None and kept[1] > now else None))
        return found

    async def put_many(self, answers: Mapping[str, bytes], *, ttl_wall_s: float) -> None:
        self._check()
        until = time.monotonic() + ttl_wall_s
        self.kept |= {key: (answer, until) for key, answer in answers.items()}

    def _check(self) -> None:
        if not self.available:
            raise CacheUnavailable("made unavailable by the test")
