"""API keys: who may call, and in which role. The secret itself is never stored."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, Protocol

import msgspec

Role = Literal["utility", "operator", "auditor", "dashboard", "admin"]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secret, as it may be shown."""

    key_id: str
    role: Role
    utility_id: str | None = None
    """The utility that the key belongs to; set for the role `utility` only."""
    facility_id: str | None = None
    """For the role `dashboard`: the only facility that the key may see."""
    created_at: datetime
    revoked_at: datetime | None = None


class StoredApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key with the SHA-256 of its secret (32 random bytes, so a plain hash suffices)."""

    api_key: ApiKey
    secret_hash: bytes


class ApiKeyNotFound(LookupError):
    """No API key has that id."""


class ApiKeyTaken(ValueError):
    """An API key with that id already exists; draw another id."""


class ApiKeysUnavailable(ConnectionError):
    """The store of API keys cannot be reached, or did not answer in time."""


class ApiKeys(Protocol):
    """The store of API keys (synchronous). Every method raises ApiKeysUnavailable when it cannot answer."""

    def add(self, stored: StoredApiKey) -> None:
        """Store a new key. Raises ApiKeyTaken."""
        ...

    def find(self, key_id: str) -> StoredApiKey | None:
        """The key of that id, revoked or not."""
        ...

    def among(self, key_ids: Collection[str]) -> dict[str, StoredApiKey]:
        """Those of the given keys that exist, by id, revoked or not; one round trip."""
        ...

    def listed(self) -> list[ApiKey]:
        """Every key, the oldest first."""
        ...

    def revoke(self, key_id: str, *, at: datetime) -> ApiKey:
        """Revoke a key permanently. A second call changes nothing. Raises ApiKeyNotFound."""
        ...
