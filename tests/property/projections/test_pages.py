"""A client that follows the cursors of a list reads each existing row once while others are added."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.ports.operations.dead_letters import DeadLetter
from interfaces.web.requests.paging import place_of
from projections.engine.cursors import InvalidCursor, cursor_after, read_cursor
from projections.engine.projection import sortable
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.open_alerts import begin_alert
from tests.sizes import examples
from tests.unit.interfaces.web.edge import NOW, Edge

Add = Callable[[Edge, int, int], str]


def raised(edge: Edge, number: int, second: int) -> str:
    begin_alert(edge.alerts, "bms_drift", f"fac-{number}", "drifts", at=NOW + timedelta(seconds=second))
    return f"fac-{number}"


def parked(edge: Edge, number: int, second: int) -> str:
    letter = DeadLetter(
        dead_letter_id=UUID(
            int=(number * 7919) % 10_007
        ),  # The order of ids differs from the order of parking.
        queue="callback",
        subject=f"callback {number}",
        reason="HTTP 404",
        body=b"{}",
        parked_at=NOW + timedelta(seconds=second),
    )
    edge.others["dead_letters"].park(letter)
    return letter.subject


SECONDS = st.lists(st.integers(0, 5), max_size=12)
"""When rows are added: often at the same moment, in any order."""


@pytest.mark.parametrize(("path", "add"), [("/api/alerts", raised), ("/api/dead-letters", parked)])
def test_each_existing_row_is_returned_once_while_others_are_added(path: str, add: Add) -> None:
    edge = Edge()
    key = edge.key("operator")
    with edge.client() as client:

        @settings(max_examples=examples(25))
        @given(there=SECONDS, added=st.lists(SECONDS, max_size=6), limit=st.integers(1, 5))
        def followed(there: list[int], added: list[list[int]], limit: int) -> None:
            _emptied(edge, client.app)
            numbers = iter(range(1_000))
            before = {add(edge, next(numbers), second) for second in there}
            seen: list[str] = []
            cursor, meanwhile = "", iter(added)
            while True:
                answer = client.get(f"{path}?limit={limit}{cursor}", headers=key).json()
                assert len(answer["items"]) <= limit
                seen += [item["subject"] for item in answer["items"]]
                if answer["next_cursor"] is None:
                    break
                cursor = f"&cursor={answer['next_cursor']}"
                for second in next(meanwhile, ()):
                    add(edge, next(numbers), second)
            assert len(seen) == len(set(seen))
            assert before <= set(seen)

        followed()


def _emptied(edge: Edge, app: Any) -> None:
    """The same `Edge` with empty registries, because creating one per example is slow."""
    web = app.state["web"]
    edge.alerts = web.alerts = FakeAlertRegistry()
    edge.others["dead_letters"] = web.dead_letters = FakeDeadLetters()


@pytest.fixture(scope="module")
def read_path() -> Iterator[Callable[[str], Any]]:
    """Reads a path as an operator."""
    edge = Edge(others={"dead_letters": FakeDeadLetters()})
    key = edge.key("operator")
    with edge.client() as client:
        yield lambda path: client.get(path, headers=key)


@pytest.mark.parametrize("path", ["/api/alerts", "/api/dead-letters"])
@pytest.mark.parametrize(
    "place",
    [
        ("facilities", sortable(NOW), "1"),
        ("alerts", "yesterday", "1"),
        ("alerts", sortable(NOW), "-1"),
        ("alerts", sortable(NOW), str(2**63)),
        ("alerts", sortable(NOW), "one"),
        ("alerts", "2026-07-14T21:00:00", "1"),
        ("alerts", "0001-01-01T00:00:00+14:00", "1"),
        ("dead_letters", sortable(NOW), "1"),
        ("dead_letters", "9", str(UUID(int=1))),
    ],
    ids=repr,
)
def test_a_cursor_of_another_list_is_refused(
    read_path: Callable[[str], Any], path: str, place: tuple[str, str, str]
) -> None:
    answer = read_path(f"{path}?cursor={cursor_after(*place)}")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-request")


@given(
    listed=st.text(max_size=10),
    at=st.datetimes(min_value=datetime(1_000, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),  # noqa: DTZ001
    key=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
)
def test_a_cursor_is_accepted_only_by_its_own_list(listed: str, at: datetime, key: str) -> None:
    cursor = cursor_after(listed, sortable(at), key)
    assert place_of(listed, cursor) == (at, key)
    with pytest.raises(InvalidCursor):
        read_cursor(f"{listed}2", cursor)


@given(cursor=st.text(max_size=60))
def test_any_malformed_text_is_an_invalid_cursor(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        place_of("alerts", cursor)
