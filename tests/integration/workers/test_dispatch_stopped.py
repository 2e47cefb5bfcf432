"""A dispatch worker that is stopped, in a process of its own, while its buildings do not answer."""

import contextlib
import signal
import socket
from pathlib import Path

import psycopg

from tests.chaos.small_system import SmallSystem
from tests.patience import END_S
from tests.servers import Database

STOPS = 3
HELD = "SELECT count(*) FROM gridproof.open_work WHERE holder IS NOT NULL"


def test_the_calls_of_a_stopped_worker_are_cancelled_and_their_rows_are_free(
    database: Database, nats_url: str, tmp_path: Path
) -> None:
    """They have not failed: a failure would count as one of the few tries of its work."""
    system = SmallSystem(database, nats_url, tmp_path, "")
    with (
        contextlib.closing(system),
        socket.create_server(("127.0.0.1", 0)) as silent,
        psycopg.connect(database.admin_dsn, autocommit=True) as session,
    ):

        def held() -> int:
            [(count,)] = session.execute(HELD).fetchall()
            return int(count)

        system.accept(f"http://127.0.0.1:{silent.getsockname()[1]}")
        system.start_processes()
        system.until_scheduled()
        with system.without("dispatch"):
            system.propose_preparation()
            for _ in range(STOPS):
                worker = system.opened("dispatch")
                try:
                    system.until("calls under way", lambda: held() == len(system.facility_ids))
                    worker.send_signal(signal.SIGTERM)
                    assert worker.wait(timeout=END_S) == 0
                finally:
                    worker.kill()
                    worker.wait(timeout=END_S)
                assert held() == 0
        assert "work failed" not in (tmp_path / "dispatch.log").read_text()
