"""The pool of every process reconnects soon after a long outage of its server."""

import time
from typing import Any

import pytest
from psycopg_pool import PoolTimeout

from adapters.postgres.connection.pool import RECONNECT_EVERY_S, PostgresPool
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer


class Watched(PostgresPool):
    """A pool that records its pauses."""

    pauses_s: list[float]

    def schedule_task(self, task: Any, delay: float) -> None:
        if type(task).__name__ == "AddConnection":
            self.pauses_s.append(delay)
        super().schedule_task(task, delay)


def test_reconnect_pauses_do_not_grow_and_attempts_never_end(
    database: Database, postgres_server: PostgresServer
) -> None:
    pool = Watched(database.app_dsn, min_size=2, max_size=4, open=False)
    pool.pauses_s = []
    pool.open(wait=True, timeout=ANSWER_S)
    try:
        postgres_server.kill()
        with pytest.raises(PoolTimeout):
            pool.getconn(timeout=0.2)
        deadline = time.monotonic() + ANSWER_S
        while len(pool.pauses_s) < 20:
            assert time.monotonic() < deadline
            with pytest.raises(PoolTimeout):
                pool.getconn(timeout=0.2)
        postgres_server.start()
        with pool.connection(timeout=30) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        pool.close()
    assert max(pool.pauses_s) <= RECONNECT_EVERY_S * 1.1
