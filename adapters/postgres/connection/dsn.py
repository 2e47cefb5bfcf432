"""Connection parameters (DSN) that failover needs, and the schema, added to the configured address where it does not
set them.

An address may list several hosts (`postgresql://app@db-1:5432,db-2:5432/gridproof`). libpq tries them in this
order and uses the first one that accepts writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_SCHEMA = "-c search_path=gridproof"
"""Migrations and statements name tables without their schema."""
_DEFAULTS = {
    # A standby also accepts connections but refuses writes. This skips it, also while it is being promoted.
    "target_session_attrs": "read-write",
    # A host that disappears does not close its connections. Without these settings they would count as alive
    # for a quarter of an hour.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    # Applies to each host that is tried.
    "connect_timeout": "5",
}


_READING_DEFAULTS = _DEFAULTS | {"target_session_attrs": "any", "connect_timeout": "2"}
"""Reads may use a standby; one that does not answer is skipped quickly."""


class UnreadableAddress(ValueError):
    """The address is not valid for libpq. The message does not quote it, since it may contain a password."""


def for_failover(database_url: str) -> str:
    """The DSN for reads and writes, as `name=value` pairs; it may contain a password. Raises
    UnreadableAddress."""
    return _with_defaults(database_url, _DEFAULTS)


def for_reading(database_url: str) -> str:
    """The DSN for a server that is only read from and may be a standby. Raises UnreadableAddress."""
    return _with_defaults(database_url, _READING_DEFAULTS)


def with_statement_timeout(dsn: str, seconds: int) -> str:
    """The DSN, with which the server ends a statement that takes longer, whatever else the DSN sets."""
    options_before = conninfo_to_dict(dsn).get("options") or ""
    return make_conninfo(
        dsn, options=f"{options_before} -c statement_timeout={seconds}s".strip()
    )  # PostgreSQL uses the last value that is given for a setting


def _with_defaults(database_url: str, defaults: Mapping[str, str]) -> str:
    try:
        return make_conninfo("", **_with_schema(dict(defaults) | conninfo_to_dict(database_url)))
    except psycopg.ProgrammingError:
        raise UnreadableAddress(
            "the address of PostgreSQL has a parameter that libpq does not know, or a broken %-escape"
        ) from None  # libpq quotes what it did not understand, which may be a password


def _with_schema(parameters: Mapping[str, Any]) -> dict[str, Any]:
    options = str(parameters.get("options") or "")
    return {**parameters, "options": options if "search_path" in options else f"{_SCHEMA} {options}".strip()}
