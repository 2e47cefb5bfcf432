"""A cache in memory; it passes the same contract suite as Redis's."""

import time
from collections.abc import Mapping, Sequence

from application.ports.current_cache import CacheUnavailable


class FakeCurrentCache:
    """`available = False` makes every call raise CacheUnavailable; `asked` holds the keys of each round trip."""

    def __init__(self) -> None:
        self.available = True
        self.asked: list[tuple[str, ...]] = []
        self.kept: dict[str, tuple[bytes, float]] = {}

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self._check()
        self.asked.append(tuple(keys))
        found = [self.kept.get(key) for key in keys]
        return [one[0] if one is not None and one[1] > time.monotonic() else None for one in found]

    async def put_many(self, answers: Mapping[str, bytes], *, kept_wall_s: float) -> None:
        self._check()
        until = time.monotonic() + kept_wall_s
        self.kept |= {key: (answer, until) for key, answer in answers.items()}

    def _check(self) -> None:
        if not self.available:
            raise CacheUnavailable("made unavailable by the test")
