"""A pool says why it has no connection to give."""

from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool, PoolTimeout

from adapters.postgres.connection.pool import PostgresPool
from adapters.postgres.connection.timeline import OlderTimeline


def test_a_pool_names_what_its_last_attempt_was_refused_for(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = [OlderTimeline("it was replaced"), psycopg.OperationalError("no route to it")]

    def fail(*_: Any) -> Any:
        raise attempts.pop(0)

    def time_out(*_: Any) -> Any:
        raise PoolTimeout("none within 1 s")

    monkeypatch.setattr(ConnectionPool, "_connect", fail)
    monkeypatch.setattr(ConnectionPool, "getconn", time_out)
    pool = PostgresPool("", min_size=0, max_size=1, open=False)
    with pytest.raises(OlderTimeline):
        pool._connect()
    with pytest.raises(OlderTimeline, match="it was replaced"):
        pool.getconn(1)
    with pytest.raises(psycopg.OperationalError, match="no route"):
        pool._connect()
    with pytest.raises(PoolTimeout, match="none within"):  # it is away now, and was replaced earlier
        pool.getconn(1)
