"""Issuing and checking API keys: `gpk_<id>_<secret>`.

The secret is 32 random bytes, so a plain SHA-256 protects it and is fast to compare.
"""

import base64
import hashlib
import hmac
from datetime import datetime
from typing import get_args

import msgspec

from application.ports.access.api_keys import ApiKey, ApiKeys, Role, StoredApiKey

PREFIX = "gpk"
ROLES: tuple[Role, ...] = get_args(Role)
SECRET_BYTES, ID_BYTES = 32, 6


class InvalidApiKeyScope(ValueError):
    """The role, utility and facility of a key do not fit together."""


class IssuedApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key and the token that its holder sends. The token is not stored and cannot be shown again."""

    api_key: ApiKey
    token: str


def issue(
    api_keys: ApiKeys,
    *,
    role: Role,
    utility_id: str | None = None,
    facility_id: str | None = None,
    at: datetime,
    entropy: bytes,
) -> IssuedApiKey:
    """Create and store a new key from `entropy` (SECRET_BYTES + ID_BYTES random bytes).

    Raises InvalidApiKeyScope, ApiKeyTaken or ApiKeysUnavailable.
    """
    if len(entropy) != SECRET_BYTES + ID_BYTES:
        raise ValueError(f"give {SECRET_BYTES + ID_BYTES} random bytes, not {len(entropy)}")
    _check_scope(role, utility_id, facility_id)
    key_id = entropy[SECRET_BYTES:].hex()
    secret = base64.urlsafe_b64encode(entropy[:SECRET_BYTES]).rstrip(b"=").decode()
    api_key = ApiKey(key_id=key_id, role=role, utility_id=utility_id, facility_id=facility_id, created_at=at)
    api_keys.add(StoredApiKey(api_key=api_key, secret_hash=hash_secret(secret)))
    return IssuedApiKey(api_key=api_key, token=f"{PREFIX}_{key_id}_{secret}")


def parse_token(token: str) -> tuple[str, str] | None:
    """The id and the secret in a token; None where it is not a token of this format."""
    prefix, _, rest = token.partition("_")
    key_id, separator, secret = rest.partition("_")
    if prefix != PREFIX or not separator or not secret or len(token) > 200:
        return None
    return (key_id, secret) if len(key_id) == 2 * ID_BYTES and key_id.isalnum() and token.isascii() else None


def is_genuine(stored: StoredApiKey, secret: str) -> bool:
    """Whether `secret` belongs to that key and the key is not revoked; in constant time."""
    same = hmac.compare_digest(stored.secret_hash, hash_secret(secret))
    return same and stored.api_key.revoked_at is None


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _check_scope(role: Role, utility_id: str | None, facility_id: str | None) -> None:
    if role not in ROLES:
        raise InvalidApiKeyScope(f"there is no role {role!r}; use one of {', '.join(ROLES)}")
    if (role == "utility") != (utility_id is not None):
        raise InvalidApiKeyScope("a key of the role utility names its utility, and no other key does")
    if facility_id is not None and role != "dashboard":
        raise InvalidApiKeyScope("only a key of the role dashboard can be narrowed to a facility")
