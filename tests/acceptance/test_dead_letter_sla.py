"""A dead letter that lies too long wakes somebody: the schedule worker as a process, killed and started again."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.alerts import PostgresAlerts
from application.ports.alerts import Alert
from application.ports.dead_letters import DeadLetter
from tests.acceptance.door import Door, running_door
from tests.acceptance.terminal import Terminal
from tests.servers import Database

WITHIN_S = 60.0
CALLBACK, COMMAND = UUID(int=1), UUID(int=2)


@pytest.fixture
def door(database: Database) -> Iterator[Door]:
    with running_door(database) as running:
        yield running


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(database, tmp_path)


@contextmanager
def schedule(terminal: Terminal, *, sla_s: float) -> Iterator[None]:
    """Killed at the end of the block, not asked to stop."""
    environ = terminal.environ | {"GRIDPROOF_DEAD_LETTER_SLA_S": str(sla_s)}
    argv = [sys.executable, "-m", "interfaces.cli", "worker", "schedule"]
    process = subprocess.Popen(argv, env=environ)
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def letter(letter_id: UUID, queue: Any, *, age: timedelta) -> DeadLetter:
    return DeadLetter(
        dead_letter_id=letter_id,
        queue=queue,
        subject="util-1/c-7",
        reason="HTTP 500",
        body=b"{}",
        parked_at=datetime.now(UTC) - age,
    )


def overdue(door: Door) -> list[dict[str, Any]]:
    items = door.get("/api/alerts", "operator").json()["items"]
    return [alert for alert in items if alert["name"] == "dead_letter_overdue"]


def ever_overdue(database: Database) -> list[Alert]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=1) as pool:
        listed = PostgresAlerts(pool).listed(include_cleared=True)
    return [alert for alert in listed if alert.name == "dead_letter_overdue"]


def test_nobody_acts_so_somebody_is_paged_once_until_it_is_decided(door: Door, terminal: Terminal) -> None:
    terminal.park(
        letter(CALLBACK, "callback", age=timedelta(minutes=16)),
        letter(COMMAND, "bms_command", age=timedelta(minutes=1)),
    )
    with schedule(terminal, sla_s=900):
        until(lambda: bool(overdue(door)))
    (first,) = overdue(door)
    assert (first["subject"], first["severity"]) == (f"callback/{CALLBACK}", "page")

    # Killed and started again, now with less patience: the second letter is due, the first is not told anew.
    with schedule(terminal, sla_s=1):
        until(lambda: len(overdue(door)) == 2)
        assert first in overdue(door)

        discarded = door.order(f"/api/dead-letters/{CALLBACK}/discard", {"reason": "told them by phone"})
        assert discarded.json()["decision_reason"] == "told them by phone"
        assert [alert["subject"] for alert in overdue(door)] == [f"bms_command/{COMMAND}"]

        decided = terminal.document(
            "dead-letters", "discard", COMMAND, "--reason", "the building was visited"
        )
        assert decided["status"] == "discarded"
        assert overdue(door) == []
    assert len(ever_overdue(terminal.database)) == 2
