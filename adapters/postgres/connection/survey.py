"""Looks at every host of an address, since a session shows only the one that it was opened to."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres.connection.session import open_unfenced_session
from adapters.postgres.connection.timeline import ServerState

WITHIN_S = 2
"""For each host."""
_LISTS = ("host", "hostaddr", "port")
"""Parameters with a value for each host, or one for all."""


def hosts_of(dsn: str) -> list[str]:
    """A DSN for each host of `dsn`, whether it accepts writes or not."""
    parameters = conninfo_to_dict(dsn)
    lists = {name: str(parameters[name]).split(",") for name in _LISTS if parameters.get(name)}
    count = max(map(len, lists.values()), default=1)
    hosts = [{name: one[number % len(one)] for name, one in lists.items()} for number in range(count)]
    return [make_conninfo(dsn, **host, target_session_attrs="any") for host in hosts]


def primaries_of(dsn: str) -> Iterator[tuple[str, ServerState]]:
    """(address, state) of each host that accepts writes; their timelines are known to this process from then on. One
    that does not answer takes WITHIN_S."""
    for host in hosts_of(dsn):
        try:
            with open_unfenced_session(host, "gridproof survey", connect_within_s=WITHIN_S) as session:
                if session.server.timeline is not None:
                    yield f"{session.info.host}:{session.info.port}", session.server
        except psycopg.Error:
            continue


def note_primaries(dsn: str) -> None:
    """For a process that starts, which has seen no timeline yet: the first of several hosts that takes writes may be an
    old primary."""
    if len(hosts_of(dsn)) > 1:
        for _ in primaries_of(dsn):
            pass
