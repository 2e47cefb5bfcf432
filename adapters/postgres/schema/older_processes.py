"""Processes of older releases that are connected: a contracting migration would take away what they use.

A process says its release in the `application_name` of each of its sessions (adapters/postgres/connection/session.py).
Other programs that use the application's role say none, and count as older.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import psycopg

from adapters.postgres.schema.worker_roles import WORKER_ROLES
from application.operations.release import release_of

HEARTBEAT_COUNTS_S = 60
"""An older heartbeat is that of a process that died: the server may have given its numbers to others."""
MOST_NAMED = 10
_STATED = re.compile(r"(.*?)[ /](\d+\.\d+\.\d+)")
_SESSIONS = """
SELECT pid, application_name, usename FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND (usename = ANY(%s) OR starts_with(application_name, 'gridproof '))
ORDER BY application_name, pid
"""
_HAS_HEARTBEATS = "SELECT to_regclass('gridproof.process_heartbeats') IS NOT NULL"
_PROCESSES = """
SELECT worker, host, pid, backends FROM gridproof.process_heartbeats
WHERE seen_at > clock_timestamp() - make_interval(secs => %s) ORDER BY worker, host, pid
"""


class SeenProcess(msgspec.Struct, frozen=True, order=True):
    """A process with sessions, or one session of which it is not known to which process it belongs."""

    what: str
    release: str | None
    """None: it says none."""
    backend: int
    """The server process of one of its sessions."""

    def is_older_than(self, release: str) -> bool:
        return self.release is None or release_of(self.release) < release_of(release)

    def __str__(self) -> str:
        said = "says no release" if self.release is None else f"release {self.release}"
        return f"{self.what} ({said}, server process {self.backend})"


def seen_processes(connection: psycopg.Connection[Any], app_role: str) -> list[SeenProcess]:
    """The processes connected to this database as the application, `app_role`, or as a worker."""
    process_of = _process_of_backend(connection)
    found: dict[tuple[str, str | None], SeenProcess] = {}
    for backend, application_name, role in connection.execute(_SESSIONS, ([app_role, *WORKER_ROLES],)):
        name, release = _parts(application_name)
        what = process_of.get(backend) or (
            f"{name!r} of {role}" if name else f"a session of {role} without a name"
        )
        found.setdefault((what, release), SeenProcess(what, release, backend))
    return sorted(found.values(), key=lambda one: (one.what, one.release or ""))


def refusal(migration: str, needs: str, older: list[SeenProcess]) -> str:
    """The reason of a refusal, and the next step."""
    named = "; ".join(map(str, older[:MOST_NAMED]))
    more = f"; and {len(older) - MOST_NAMED} more" if len(older) > MOST_NAMED else ""
    return (
        f"{migration} takes away what releases before {needs} use, and these are connected: {named}{more}. Nothing "
        f"was applied. Stop them, or start them again with release {needs}, then repeat the command. A session that "
        f"belongs to no process any more is ended by `SELECT pg_terminate_backend(SERVER PROCESS)`"
    )


def _parts(application_name: str) -> tuple[str, str | None]:
    stated = _STATED.fullmatch(application_name)
    return (application_name, None) if stated is None else (stated[1], stated[2])


def _process_of_backend(connection: psycopg.Connection[Any]) -> dict[int, str]:
    """Server process -> the process that reports it as its own. Sessions opened after its last report are missing."""
    if connection.execute(_HAS_HEARTBEATS).fetchone() != (True,):
        return {}
    return {
        backend: f"{worker} on {host}, pid {pid}"
        for worker, host, pid, backends in connection.execute(_PROCESSES, (HEARTBEAT_COUNTS_S,))
        for backend in backends
    }
