"""The address of PostgreSQL as every connection uses it: with what a failover asks of it, unless it says otherwise.

An address may name several hosts (`postgresql://app@db-1:5432,db-2:5432/gridproof`): they are tried in their order, and
the one that takes writes is taken.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_DEFAULTS = {
    # A standby answers too, and refuses every write: it is passed over, also while it is being promoted.
    "target_session_attrs": "read-write",
    # A host that vanished closes nothing. Without these a connection to it is believed in for a quarter of an hour.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    # For each host that is tried.
    "connect_timeout": "5",
}


_READING_DEFAULTS = _DEFAULTS | {"target_session_attrs": "any", "connect_timeout": "2"}
"""A standby is what is wanted; one that does not answer is done without."""


class UnreadableAddress(ValueError):
    """No address that libpq understands. It is not quoted: it may hold a password."""


def for_failover(database_url: str) -> str:
    """The address for psycopg, as `name=value` pairs; it may hold a password. Raises UnreadableAddress."""
    return _with_defaults(database_url, _DEFAULTS)


def for_reading(database_url: str) -> str:
    """The same of a server that is only read from, and may be a standby. Raises UnreadableAddress."""
    return _with_defaults(database_url, _READING_DEFAULTS)


def _with_defaults(database_url: str, defaults: Mapping[str, str]) -> str:
    try:
        return make_conninfo("", **(dict(defaults) | conninfo_to_dict(database_url)))
    except psycopg.ProgrammingError:
        raise UnreadableAddress(
            "the address of PostgreSQL has a parameter that libpq does not know, or a broken %-escape"
        ) from None  # libpq quotes what it did not understand
