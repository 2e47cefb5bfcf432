"""Sessions of people who signed in with an API key. The token itself is never stored."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

import msgspec


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session that has not ended. It is valid only while its API key is, which may be revoked in the
    meantime."""

    key_id: str
    expires_at: datetime
    """By the store's own clock, in wall time: a session lasts equally long whatever the speed of a demo's
    clock."""
    lasts_s: float
    """Wall seconds from now to `expires_at`."""


class Sessions(Protocol):
    """The store of sessions (synchronous). Every method raises ApiKeysUnavailable when it cannot answer."""

    def begin(self, token_hash: bytes, key_id: str, *, lasts_s: float) -> Session:
        """Store a new session. Deletes ended sessions, and the oldest ones of a key that has too many."""
        ...

    def among(self, token_hashes: Collection[bytes]) -> Mapping[bytes, Session]:
        """The sessions of these tokens that have not ended; one round trip."""
        ...

    def end(self, token_hash: bytes) -> None:
        """End the session at once, for every process. A second call changes nothing."""
        ...
