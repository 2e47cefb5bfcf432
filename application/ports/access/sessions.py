"""Sessions of people who signed in with an API key; the token itself is never stored."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

import msgspec


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One that has not ended. It is worth no more than its API key, which may be revoked meanwhile."""

    key_id: str
    expires_at: datetime
    """By the store's own clock, on the wall: a person stays signed in for as long whatever the speed of a demo's."""
    lasts_s: float
    """Wall seconds from now to `expires_at`."""


class Sessions(Protocol):
    """The store of sessions (synchronous). Every method raises ApiKeysUnavailable when it cannot answer."""

    def begin(self, token_hash: bytes, key_id: str, *, lasts_s: float) -> Session:
        """Keep a new one. Those that have ended are forgotten, and the oldest of a key that has too many."""
        ...

    def among(self, token_hashes: Collection[bytes]) -> Mapping[bytes, Session]:
        """Those sessions of these tokens that have not ended, in one look."""
        ...

    def end(self, token_hash: bytes) -> None:
        """At once, for every process that asks; a second time changes nothing."""
        ...
