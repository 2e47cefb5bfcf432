"""An overdue dead letter raises an alert that pages. The watch worker is a process, killed and restarted."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.operations.alerts import PostgresAlerts
from application.ports.operations.alerts import Alert
from application.ports.operations.dead_letters import DeadLetter
from tests.acceptance.api.running_api import Door, running_door
from tests.acceptance.cli.terminal import Terminal, until
from tests.servers import Database

CALLBACK, COMMAND = UUID(int=1), UUID(int=2)


@pytest.fixture
def door(database: Database) -> Iterator[Door]:
    with running_door(database) as running:
        yield running


@pytest.fixture
def terminal(database: Database, tmp_path: Path) -> Terminal:
    return Terminal(database, tmp_path)


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


def test_an_overdue_dead_letter_pages_once_until_it_is_decided(door: Door, terminal: Terminal) -> None:
    terminal.park(
        letter(CALLBACK, "callback", age=timedelta(minutes=16)),
        letter(COMMAND, "bms_command", age=timedelta(minutes=1)),
    )
    with terminal.worker("watch"):  # 15 minutes by default
        until(lambda: bool(overdue(door)))
    (first,) = overdue(door)
    assert (first["subject"], first["severity"]) == (f"callback/{CALLBACK}", "page")

    # Restarted with a shorter limit: the second letter is overdue; the alert of the first is not raised again.
    with terminal.worker("watch", GRIDPROOF_DEAD_LETTER_SLA_S="1"):
        until(lambda: len(overdue(door)) == 2)
        assert first["alert_id"] in {alert["alert_id"] for alert in overdue(door)}

        discarded = door.order(f"/api/dead-letters/{CALLBACK}/discard", {"reason": "told them by phone"})
        assert discarded.json()["decision_reason"] == "told them by phone"
        until(lambda: [alert["subject"] for alert in overdue(door)] == [f"bms_command/{COMMAND}"])

        decided = terminal.document(
            "dead-letters", "discard", COMMAND, "--reason", "the building was visited"
        )
        assert decided["status"] == "discarded"
        until(lambda: overdue(door) == [])
    assert len(ever_overdue(terminal.database)) == 2
