"""A request with `Prefer: wait` reads earlier writes, or its answer does not confirm the preference."""

from dataclasses import dataclass, field
from uuid import UUID

import pytest

from interfaces.web import edge as dependencies
from projections.dr_event.projection import DREventRow
from projections.engine.waits import ReadModelBehind
from projections.queries.views import ProjectionPosition, ReadModelsUnavailable
from tests.unit.interfaces.web.edge import NOW, Edge

ID = UUID("00000000-0000-0000-0000-000000000001")
URL = f"/api/dr-events/{ID}"


@dataclass
class Waits:
    error: Exception | None = None
    requested: list[tuple[str, int, float]] = field(default_factory=list)

    def wait_for(self, projection: str, position: int, *, timeout_s: float) -> int:
        self.requested.append((projection, position, timeout_s))
        if self.error is not None:
            raise self.error
        return position


def row() -> DREventRow:
    return DREventRow(
        dr_event_id=ID,
        utility_id="util-1",
        utility_event_id="U-1",
        status="accepted",
        opened_at=NOW,
        changed_at=NOW,
        correlation_id=ID,
        trace_id="0" * 31 + "1",
        domain_events=2,
    )


def position(name: str, at: int) -> ProjectionPosition:
    return ProjectionPosition(
        name=name, version=1, position=at, head=10, behind_since=None if at == 10 else NOW
    )


def status_and_preference(waits: Waits, prefer: str | None, path: str = URL) -> tuple[int, str | None]:
    """The status, and the preference that was applied."""
    edge = Edge(others={"waits": waits})
    edge.read_models.dr_events.rows = {str(ID): row()}
    positions = [position("dr_events", 7), position("dispatches", 10), position("portfolio", 1)]
    edge.read_models.positions = lambda: positions  # type: ignore[method-assign]
    headers = edge.key("operator") | ({} if prefer is None else {"Prefer": prefer})
    with edge.client() as client:
        answer = client.get(path, headers=headers)
    return answer.status_code, answer.headers.get("preference-applied")


def test_a_request_waits_only_for_projections_of_its_answer_that_are_behind() -> None:
    waits = Waits()
    assert status_and_preference(waits, "wait=5") == (200, "wait=5")
    assert status_and_preference(waits, "respond-async, wait=3", f"{URL}/dispatches") == (200, "wait=3")
    assert waits.requested == [("dr_events", 10, 5), ("dr_events", 10, 3)]


def test_a_wait_is_limited_to_ten_seconds() -> None:
    waits = Waits()
    assert status_and_preference(waits, "wait=9999") == (200, "wait=10")
    assert waits.requested == [("dr_events", 10, 10)]


@pytest.mark.parametrize("prefer", [None, "", "respond-async", "wait=", "wait=-1", "wait=99999", "await=5"])
def test_a_request_without_a_valid_wait_preference_does_not_wait(prefer: str | None) -> None:
    waits = Waits()
    assert status_and_preference(waits, prefer) == (200, None)
    assert waits.requested == []


@pytest.mark.parametrize("error", [ReadModelBehind("too late"), ReadModelsUnavailable("no answer")])
def test_a_wait_that_fails_is_not_confirmed_in_the_answer(error: Exception) -> None:
    assert status_and_preference(Waits(error), "wait=1") == (200, None)


def test_a_request_does_not_wait_if_too_many_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "CONCURRENT_WAITS", 0)
    waits = Waits()
    assert status_and_preference(waits, "wait=5") == (200, None)
    assert waits.requested == []
