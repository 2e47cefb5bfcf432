"""Issuing and checking API keys: `gpk_<id>_<secret>`.

The secret is 32 random bytes, so a plain SHA-256 protects it and is fast to compare.
"""

import base64
from datetime import datetime, timedelta
from typing import get_args

import msgspec

from application.ports.access.api_keys import (
    ApiKey,
    ApiKeyNotFound,
    ApiKeyNotValid,
    ApiKeys,
    Role,
    StoredApiKey,
    hash_secret,
)
from domain.administration import AdministrativeAct, api_key_act_id
from domain.event_sourcing.aggregate import Provenance

PREFIX = "gpk"
ROLES: tuple[Role, ...] = get_args(Role)
SECRET_BYTES, ID_BYTES = 32, 6
SYSTEM = "system"
"""The actor of keys that nobody asked for by name: the first key of a new system."""


class InvalidApiKeyScope(ValueError):
    """The role, utility and facility of a key do not fit together."""


class InvalidApiKeyTime(ValueError):
    """The key would never be valid."""


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
    name: str | None = None,
    expires_at: datetime | None = None,
    by: str = SYSTEM,
    at: datetime,
    entropy: bytes,
) -> IssuedApiKey:
    """Create and store a new key from `entropy` (SECRET_BYTES + ID_BYTES random bytes).

    Raises InvalidApiKeyScope, InvalidApiKeyTime, ApiKeyTaken or ApiKeysUnavailable.
    """
    _check_scope(role, utility_id, facility_id)
    if expires_at is not None and expires_at <= at:
        raise InvalidApiKeyTime(f"a key that expires at {expires_at.isoformat()} would never be valid")
    api_key = ApiKey(
        key_id=_key_id(entropy),
        role=role,
        utility_id=utility_id,
        facility_id=facility_id,
        created_at=at,
        name=name,
        expires_at=expires_at,
    )
    issued, stored = _with_secret(api_key, entropy)
    api_keys.add(stored, _issued_act(api_key, by=by, at=at))
    return issued


def rotate(
    api_keys: ApiKeys,
    key_id: str,
    *,
    overlap: timedelta,
    expires_at: datetime | None = None,
    by: str = SYSTEM,
    at: datetime,
    entropy: bytes,
) -> IssuedApiKey:
    """A new key with the role, scope and name of another one, which expires after `overlap` if not before.

    Raises InvalidApiKeyTime, ApiKeyNotValid, ApiKeyNotFound, ApiKeyTaken or ApiKeysUnavailable.
    """
    if expires_at is not None and expires_at <= at:
        raise InvalidApiKeyTime(f"a key that expires at {expires_at.isoformat()} would never be valid")
    found = api_keys.find(key_id)
    if found is None:
        raise ApiKeyNotFound(f"no API key {key_id}; list them with `gridproof keys list`")
    old = found.api_key
    if not old.is_valid(at):
        raise ApiKeyNotValid(
            f"API key {key_id} is revoked or expired; create another with `gridproof keys create`"
        )
    until = at + overlap if old.expires_at is None else min(at + overlap, old.expires_at)
    api_key = msgspec.structs.replace(
        old,
        key_id=_key_id(entropy),
        created_at=at,
        expires_at=expires_at,
        replaces=key_id,
        last_used_at=None,
    )
    issued, stored = _with_secret(api_key, entropy)
    rotated = AdministrativeAct.rotate_key(
        _provenance(api_key.key_id, by, at), key_id=key_id, replaced_by=api_key.key_id, expires_at=until
    )
    api_keys.rotate(key_id, stored, until=until, acts=[_issued_act(api_key, by=by, at=at), rotated])
    return issued


def revoke(api_keys: ApiKeys, key_id: str, *, by: str = SYSTEM, at: datetime) -> ApiKey:
    """Revoke a key permanently. Raises ApiKeyNotFound or ApiKeysUnavailable."""
    act = AdministrativeAct.revoke_key(_provenance(key_id, by, at), key_id=key_id)
    return api_keys.revoke(key_id, at=at, act=act)


def _key_id(entropy: bytes) -> str:
    if len(entropy) != SECRET_BYTES + ID_BYTES:
        raise ValueError(f"give {SECRET_BYTES + ID_BYTES} random bytes, not {len(entropy)}")
    return entropy[SECRET_BYTES:].hex()


def _with_secret(api_key: ApiKey, entropy: bytes) -> tuple[IssuedApiKey, StoredApiKey]:
    secret = base64.urlsafe_b64encode(entropy[:SECRET_BYTES]).rstrip(b"=").decode()
    stored = StoredApiKey(api_key=api_key, secret_hash=hash_secret(secret))
    return IssuedApiKey(api_key=api_key, token=f"{PREFIX}_{api_key.key_id}_{secret}"), stored


def _issued_act(api_key: ApiKey, *, by: str, at: datetime) -> AdministrativeAct:
    return AdministrativeAct.issue_key(
        _provenance(api_key.key_id, by, at),
        key_id=api_key.key_id,
        role=api_key.role,
        utility_id=api_key.utility_id,
        facility_id=api_key.facility_id,
        expires_at=api_key.expires_at,
        replaces=api_key.replaces,
    )


def _provenance(key_id: str, by: str, at: datetime) -> Provenance:
    """Acts of one key have one correlation id. They belong to no utility: another's keys are none of its concern."""
    correlation_id = api_key_act_id("correlation", key_id)
    return Provenance(
        correlation_id=correlation_id,
        causation_id=correlation_id,
        actor=by,
        tenant=None,
        trace_id=correlation_id.hex,
        recorded_at=at,
    )


def parse_token(token: str) -> tuple[str, str] | None:
    """The id and the secret in a token; None where it is not a token of this format."""
    prefix, _, rest = token.partition("_")
    key_id, separator, secret = rest.partition("_")
    if prefix != PREFIX or not separator or not secret or len(token) > 200:
        return None
    return (key_id, secret) if len(key_id) == 2 * ID_BYTES and key_id.isalnum() and token.isascii() else None


def _check_scope(role: Role, utility_id: str | None, facility_id: str | None) -> None:
    if role not in ROLES:
        raise InvalidApiKeyScope(f"there is no role {role!r}; use one of {', '.join(ROLES)}")
    if (role == "utility") != (utility_id is not None):
        raise InvalidApiKeyScope("a key of the role utility names its utility, and no other key does")
    if facility_id is not None and role not in {"dashboard", "owner"}:
        raise InvalidApiKeyScope("only a key of the role dashboard or owner can be narrowed to a facility")
    if role == "owner" and facility_id is None:
        raise InvalidApiKeyScope("a key of the role owner names its facility")
