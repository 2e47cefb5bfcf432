"""The database roles of the workers: each has a part of the rights of the application's role (ADR 0066).

The migrations grant to the application's role alone. After them, each worker role that exists gets what its kind of
worker needs, derived from those grants by table: so a new table needs a line here only if it holds secrets, or if
others than the commands write to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

COMMANDS, TELEMETRY, PROJECTIONS = "gridproof_commands", "gridproof_telemetry", "gridproof_projections"
WEB = "gridproof_web"
"""The commands; and keys, and tasks for the process of `gridproof up`: an admin makes them on the page (ADR 0108)."""
WORKER_ROLES = (COMMANDS, TELEMETRY, PROJECTIONS, WEB)

_READ_MODELS = ("rm_*", "projection_positions", "projection_rebuilds", "ledger_*")
_READINGS = (
    "readings*",
    "reading_chunks*",
    "recent_readings",
    "telemetry_positions",
    "interval_readings",
    "current_values",
    "rollups",
    "unsettled_quarters",
    "meter_days",
    "telemetry_corrections",
    "raw_archive_progress",
)
_OF_ALL = ("alerts", "alert_statements", "dead_letters", "process_heartbeats", "system_clock")
"""Every process may raise an alert, park its work, say that it runs, and be the first that is started."""
_SECRET = (
    "api_keys",
    "sessions",
    "utilities",
    "operators",
    "callback_addresses",
    "facility_coordinates",
    "idempotency_keys",
)
"""Read by the commands alone."""
_OF_WEB = frozenset({("api_keys", "INSERT"), ("host_tasks", "SELECT"), ("host_tasks", "INSERT")})
"""What the web process has beyond the commands; no other worker has it."""
_PEOPLE = ("sessions", "operators")
"""The web process's alone: others neither read nor write them."""
_WRITTEN_BY_WEB = ("utilities", "callback_addresses")
"""Those that give commands read these."""
_NOT_OF_WEB = frozenset({("open_work", "UPDATE"), ("open_work", "DELETE")})
"""What the web process lacks of the commands: it records intents, and workers carry them out."""
_OF_HOST = ("host_tasks", "host_state")
"""Written by the process of `gridproof up`, which has the application's role."""
_FUNCTIONS = {
    TELEMETRY: ("prepare_readings_day", "drop_readings_day"),
    PROJECTIONS: (
        "extend_recorded_times",
        "create_generation",
        "key_generation",
        "attach_generation",
        "drop_old_generations",
        "discard_rebuild",
    ),
}
"""Of those that the owner's rights are lent to; a function that no role has here is the commands'."""
_LISTED_FUNCTIONS = frozenset(name for names in _FUNCTIONS.values() for name in names)

_RIGHTS = """
SELECT 'table', c.oid::regclass::text, c.relname, '', a.privilege_type, a.grantee::regrole::text
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'gridproof'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
UNION ALL
SELECT 'sequence', c.oid::regclass::text, c.relname, '', a.privilege_type, a.grantee::regrole::text
FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'gridproof'::regnamespace AND c.relkind = 'S'
UNION ALL
SELECT 'table', c.oid::regclass::text, c.relname, t.attname, a.privilege_type, a.grantee::regrole::text
FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid, aclexplode(t.attacl) a
WHERE c.relnamespace = 'gridproof'::regnamespace AND NOT t.attisdropped
UNION ALL
SELECT 'function', p.oid::regprocedure::text, p.proname, '', a.privilege_type, a.grantee::regrole::text
FROM pg_proc p, aclexplode(p.proacl) a WHERE p.pronamespace = 'gridproof'::regnamespace
UNION ALL
SELECT 'schema', n.nspname, n.nspname, '', a.privilege_type, a.grantee::regrole::text
FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'gridproof'
"""


class Right(NamedTuple):
    """A privilege on an object of the schema, or on a column of a table."""

    kind: str
    object: str
    """As SQL names it, quoted, a function with its arguments."""
    name: str
    column: str
    privilege: str


def grant_to_worker_roles(connection: psycopg.Connection[Any], app_role: str) -> list[str]:
    """Bring the rights of each worker role that exists to what `app_role`'s imply now; the roles that exist.

    Repeatable: only differences are granted or revoked.
    """
    found: dict[str, set[Right]] = {}
    for *right, grantee in connection.execute(_RIGHTS):
        found.setdefault(grantee, set()).add(Right(*right))
    roles = [
        str(name)
        for (name,) in connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) ORDER BY rolname", (list(WORKER_ROLES),)
        )
    ]
    of_app = found.get(app_role, set())
    for role in roles:
        wanted, has = rights_of(role, of_app), found.get(role, set())
        for right in sorted(has - wanted):
            connection.execute(_statement("REVOKE {} ON {} {} FROM {}", right, role))
        for right in sorted(wanted - has):
            connection.execute(_statement("GRANT {} ON {} {} TO {}", right, role))
    return roles


def rights_of(role: str, of_app: Iterable[Right]) -> set[Right]:
    """The part of the application's rights that `role` gets."""
    return {right for right in of_app if _has(role, right)}


def _has(role: str, right: Right) -> bool:
    if role == WEB:
        of_web = (right.name, right.privilege)
        is_of_web = right.name in {*_PEOPLE, *_WRITTEN_BY_WEB} or of_web in _OF_WEB
        return is_of_web or (of_web not in _NOT_OF_WEB and _has(COMMANDS, right))
    if right.kind == "schema":
        return True
    if right.kind == "function":
        owners = (one for one, names in _FUNCTIONS.items() if right.name in names)
        return role in owners or (role == COMMANDS and right.name not in _LISTED_FUNCTIONS)
    if right.name in _OF_HOST:
        return (right.name, right.privilege) == ("host_state", "SELECT")
    if right.name in _PEOPLE or (right.name in _WRITTEN_BY_WEB and right.privilege != "SELECT"):
        return False
    if _is_in(right.name, _SECRET):
        # No worker but the web process issues keys. People at the machine have the application's role.
        return role == COMMANDS and (right.name, right.privilege) != ("api_keys", "INSERT")
    if right.privilege == "SELECT" or _is_in(right.name, _OF_ALL):
        return True
    return _writer(right.name) == role


def _writer(table: str) -> str:
    if _is_in(table, _READ_MODELS):
        return PROJECTIONS
    return TELEMETRY if _is_in(table, _READINGS) else COMMANDS


def _is_in(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _statement(template: str, right: Right, role: str) -> bytes:
    """All of it comes from the catalog: words, and names as it quotes them."""
    privilege = right.privilege
    if right.column:
        privilege += f" ({sql.Identifier(right.column).as_string()})"
    return template.format(privilege, right.kind.upper(), right.object, role).encode()
