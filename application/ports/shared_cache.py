"""A shared memory of answers that are asked for again and again. It may forget, and it may be away."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class CacheUnavailable(ConnectionError):
    """The cache did not answer in time, or is left alone for a while because it did not before."""


class Turn(msgspec.Struct, frozen=True):
    """A caller's wish for one answer; `caller` names who asks for what, so that each may ask so often."""

    caller: str
    key: str


class Taken(msgspec.Struct, frozen=True):
    """What came of it. `wait_s` is 0 where it was the caller's turn, else wall seconds until it is."""

    wait_s: float
    answer: bytes | None


class SharedCache(Protocol):
    """Asynchronous. Every method is one round trip, and raises CacheUnavailable."""

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """In the order asked; None for what is not there."""
        ...

    async def take_turns(self, turns: Sequence[Turn], *, every_wall_s: float) -> list[Taken]:
        """In the order asked: each caller has one turn in so many wall seconds, and with it what is kept under the key.

        A turn refused does not count, and gets no answer. Two of one caller in one call are two.
        """
        ...

    async def put_many(self, answers: Mapping[str, bytes], *, kept_wall_s: float) -> None:
        """Keep them for so long, over what was kept under the same keys."""
        ...
