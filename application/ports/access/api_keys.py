"""API keys: who may call, and in which role. The secret itself is never stored."""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from domain.administration import AdministrativeAct

Role = Literal["utility", "operator", "auditor", "dashboard", "owner", "admin"]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secret, as it may be shown."""

    key_id: str
    role: Role
    utility_id: str | None = None
    """The utility that the key belongs to; set for the role `utility` only."""
    facility_id: str | None = None
    """The only facility that the key may see: of every key of the role `owner`, and of some of the role `dashboard`."""
    created_at: datetime
    revoked_at: datetime | None = None
    name: str | None = None
    """What the operator calls it. It is in no domain event, and can be forgotten."""
    expires_at: datetime | None = None
    """From then on it is refused; None: it is valid until it is revoked."""
    replaces: str | None = None
    """The id of the key that it was rotated from."""
    last_used_at: datetime | None = None
    """At least roughly: written at most once an hour."""

    def is_valid(self, at: datetime) -> bool:
        """True if it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


class StoredApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key with the SHA-256 of its secret (32 random bytes, so a plain hash suffices)."""

    api_key: ApiKey
    secret_hash: bytes

    def is_genuine(self, secret: str, *, at: datetime) -> bool:
        """True if `secret` belongs to the key and the key is valid at `at`; the comparison takes constant time."""
        return hmac.compare_digest(self.secret_hash, hash_secret(secret)) and self.api_key.is_valid(at)


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class ApiKeyNotValid(ValueError):
    """The key is revoked or expired, or was given an earlier end meanwhile, so it cannot be rotated."""


class ApiKeyNotFound(LookupError):
    """No API key has that id."""


class ApiKeyTaken(ValueError):
    """An API key with that id already exists; draw another id."""


class KeyIssueNotAllowed(PermissionError):
    """The database role of this process may not store keys."""


class ApiKeysUnavailable(ConnectionError):
    """The store of API keys cannot be reached, or did not answer in time."""


class ApiKeys(Protocol):
    """The store of API keys (synchronous). Every method raises ApiKeysUnavailable when it cannot answer.

    A change is stored in one transaction with the acts that record it in the log.
    """

    def add(self, stored: StoredApiKey, act: AdministrativeAct) -> None:
        """Store a new key. Raises ApiKeyTaken, KeyIssueNotAllowed."""
        ...

    def rotate(
        self, key_id: str, successor: StoredApiKey, *, until: datetime, acts: Sequence[AdministrativeAct]
    ) -> None:
        """Store `successor`, and let the key, which is valid for at least as long, expire at `until`.

        Raises ApiKeyNotFound, ApiKeyTaken, KeyIssueNotAllowed; ApiKeyNotValid if it is not, or not when `successor` is
        created.
        """
        ...

    def find(self, key_id: str) -> StoredApiKey | None:
        """The key of that id, whether it is valid or not."""
        ...

    def among(self, key_ids: Collection[str]) -> dict[str, StoredApiKey]:
        """The given keys that exist, by id, whether they are valid or not; one round trip."""
        ...

    def listed(self, *, after: tuple[datetime, str] | None = None, limit: int | None = None) -> list[ApiKey]:
        """The oldest first; `after`: creation and id of the last one of the previous page. None: every key."""
        ...

    def revoke(self, key_id: str, *, at: datetime, act: AdministrativeAct) -> ApiKey:
        """Revoke a key permanently. A second call changes and records nothing. Raises ApiKeyNotFound."""
        ...

    def note_use(self, key_id: str, *, at: datetime) -> None:
        """Store the time of a use, unless one of the hour before `at` is stored. An unknown key is no error."""
        ...

    def forget_name(self, key_id: str) -> None:
        """Delete the key's name. Raises ApiKeyNotFound."""
        ...
