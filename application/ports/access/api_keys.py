"""API keys: who may call, in which role; the secret itself is never stored."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, Protocol

import msgspec

Role = Literal["utility", "operator", "auditor", "dashboard", "admin"]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it may be shown: without anything of its secret."""

    key_id: str
    role: Role
    utility_id: str | None = None
    """The utility it speaks for; given with the role `utility` and no other."""
    facility_id: str | None = None
    """With the role `dashboard`: it sees this facility and nothing else."""
    created_at: datetime
    revoked_at: datetime | None = None


class StoredApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key with the SHA-256 of its secret (32 random bytes, so a plain hash suffices)."""

    api_key: ApiKey
    secret_hash: bytes


class ApiKeyNotFound(LookupError):
    """No API key has that id."""


class ApiKeyTaken(ValueError):
    """An API key with that id is there already; draw another id."""


class ApiKeysUnavailable(ConnectionError):
    """The store of API keys cannot be reached, or did not answer in time."""


class ApiKeys(Protocol):
    """The store of API keys (synchronous). Every method raises ApiKeysUnavailable when it cannot answer."""

    def add(self, stored: StoredApiKey) -> None:
        """Keep a new key. Raises ApiKeyTaken."""
        ...

    def find(self, key_id: str) -> StoredApiKey | None:
        """The key of that id, revoked or not."""
        ...

    def among(self, key_ids: Collection[str]) -> dict[str, StoredApiKey]:
        """By id, those of the named keys that there are, revoked or not; one round trip."""
        ...

    def listed(self) -> list[ApiKey]:
        """Every key, the oldest first."""
        ...

    def revoke(self, key_id: str, *, at: datetime) -> ApiKey:
        """Revoke a key for good; a second time changes nothing. Raises ApiKeyNotFound."""
        ...
