"""Whether a pooled connection died while it was idle, found without asking the server.

The pool's own check is a round trip before every use: more than many a query costs.
"""

from __future__ import annotations

import select
from typing import Any

import psycopg
from psycopg import Connection


def check_idle(connection: Connection[Any]) -> None:
    """For a pool's `check`. Raises OperationalError where the server, or what is between, has closed the connection.

    What is to be read on an idle connection is the server's farewell. One that vanished without a word is found by its
    time-outs when it is used.
    """
    if connection.closed or _has_something_to_read(connection):
        connection.close()  # else the pool takes it back as a good one, and hands it out again
        raise psycopg.OperationalError("the server closed the connection while it was idle")


def _has_something_to_read(connection: Connection[Any]) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
