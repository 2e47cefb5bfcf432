"""The overview of operations, over fakes of the ports: each part, and a part that is unavailable."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from application.ports.operations.dead_letters import DeadLetter
from application.ports.operations.system_state import QueueDepth, QueuesUnavailable, Rebuild
from application.ports.operations.unavailable import OperationsUnavailable
from projections.queries.views import ProjectionPosition
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.open_alerts import begin_alert
from tests.unit.interfaces.web.edge import NOW, Edge

DEPTH = QueueDepth(name="bms_commands", waiting=7, bytes=900, most_bytes=1_000, oldest_s=2.5)
PARTS = {"open_alerts", "breakers", "queues", "projections", "dead_letters", "ledger", "workers"}


class FakeSystemState:
    """Stands for SystemState and Queues."""

    def __init__(self, *, down: bool = False) -> None:
        self._down = down

    def rebuilds(self) -> list[Rebuild]:
        self._up()
        return [Rebuild(name="dr_events", position=25, up_to=100, domain_events=20, rows=3, started_at=NOW)]

    def sessions(self) -> Mapping[str, int]:
        self._up()
        return {"projection dr_events": 1, "turn meters/7": 1}

    def held(self, locks: Collection[str]) -> frozenset[str]:
        self._up()
        return frozenset({"relay", "deadlines", "measure"} & set(locks))

    async def depths(self) -> tuple[QueueDepth, ...]:
        if self._down:
            raise QueuesUnavailable("10.0.0.1 refused")
        return (DEPTH,)

    def _up(self) -> None:
        if self._down:
            raise OperationsUnavailable("10.0.0.1 refused")


def ledger_status() -> Any:
    return SimpleNamespace(
        checkpoint=SimpleNamespace(number=12, at=NOW - timedelta(seconds=9), age_s=9.0),
        logs=(SimpleNamespace(unsealed=3), SimpleNamespace(unsealed=1)),
        mismatches=(),
    )


def edge(*, down: bool = False) -> Edge:
    alerts, letters, operations = FakeAlertRegistry(), FakeDeadLetters(), FakeSystemState(down=down)
    begin_alert(alerts, "bms_breaker_open", "fac-007", "timed out", at=NOW)
    begin_alert(alerts, "bms_drift", "fac-008", "drifted", at=NOW)
    letters.park(
        DeadLetter(
            dead_letter_id=UUID(int=1), queue="callback", subject="c", reason="r", body=b"", parked_at=NOW
        )
    )
    made = Edge(
        alerts=alerts,
        others={
            "dead_letters": letters,
            "queues": operations,
            "system_state": operations,
            "ledger": SimpleNamespace(status=ledger_status),
        },
    )
    position = ProjectionPosition(
        name="dr_events", version=3, position=90, head=100, behind_since=NOW - timedelta(seconds=4)
    )
    made.read_models.positions = lambda: [position]  # type: ignore[method-assign]
    return made


def read(of: Edge) -> dict[str, Any]:
    with of.client() as client:
        response = client.get("/api/operations", headers=of.key("operator"))
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def test_each_part_shows_its_state() -> None:
    document = read(edge())
    assert document["unknown"] == {}
    assert document["open_alerts"] == {"bms_breaker_open": 1, "bms_drift": 1}
    assert [breaker["facility_id"] for breaker in document["breakers"]] == ["fac-007"]
    assert document["queues"][0]["waiting"] == 7
    assert (document["dead_letters"][0]["queue"], document["dead_letters"][0]["open"]) == ("callback", 1)
    assert (document["ledger"]["checkpoint"], document["ledger"]["unsealed"]) == (12, 4)
    (projection,) = document["projections"]
    assert (projection["lag"], projection["lag_s"]) == (10, 4.0)
    assert (projection["rebuild"]["share"], projection["rebuild"]["rows"]) == (0.25, 3)


def test_a_worker_is_running_stopped_or_of_unknown_state() -> None:
    running = {worker["name"]: worker["running"] for worker in read(edge())["workers"]}
    assert running == {
        "aggregate": False,
        "archive": False,
        "compute": False,
        "decide": True,
        "dispatch": None,
        "ingest": True,
        "project": True,
        "watch": False,
    }


def test_an_unavailable_part_is_null_and_listed_as_unknown_beside_the_others() -> None:
    document = read(edge(down=True))
    assert document["unknown"] == {
        "queues": "QueuesUnavailable",
        "projections": "OperationsUnavailable",
        "workers": "OperationsUnavailable",
    }
    assert {name for name in PARTS if document[name] is None} == set(document["unknown"])
    assert "10.0.0.1" not in str(document)
