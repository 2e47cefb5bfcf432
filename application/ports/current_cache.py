"""A shared memory of answers that are asked for again and again. It may forget, and it may be away."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class CacheUnavailable(ConnectionError):
    """The cache did not answer in time, or is left alone for a while because it did not before."""


class CurrentCache(Protocol):
    """Asynchronous. Every method is one round trip, and raises CacheUnavailable."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """In the order asked; None for what is not there."""
        ...

    async def put_many(self, answers: Mapping[str, bytes], *, kept_wall_s: float) -> None:
        """Keep them for so long, over what was kept under the same keys."""
        ...
