"""The budget counts sessions by kind from before they are opened until they are closed, and refuses one too many."""

from typing import Any

import pytest

from adapters.postgres.connection.budget import BudgetExceeded, SessionBudget


class Opened:
    """What the budget needs to know of a session."""

    closed = False


def opened(budget: SessionBudget, name: str) -> Opened:
    session: Any = Opened()
    with budget.place(name) as place:
        place.hold(session)
    return session  # type: ignore[no-any-return]


@pytest.fixture
def budget() -> SessionBudget:
    found = SessionBudget()
    found.set_limits({"pool": 2, "locks": 1}, {"gridproof pool": "pool", "gridproof locks": "locks"}.get)
    return found


def test_a_session_more_than_its_kind_allows_is_refused(budget: SessionBudget) -> None:
    sessions = [opened(budget, "gridproof pool") for _ in range(2)]
    with pytest.raises(BudgetExceeded, match="may have 2 PostgreSQL sessions for pool and has 2"):
        opened(budget, "gridproof pool")
    sessions.append(opened(budget, "gridproof locks"))
    assert budget.open_sessions() == {"pool": 2, "locks": 1}


def test_a_session_of_no_kind_is_refused(budget: SessionBudget) -> None:
    with pytest.raises(BudgetExceeded, match="'psql', which no budget names"):
        opened(budget, "psql")


def test_a_closed_session_and_one_that_nobody_refers_to_make_room(budget: SessionBudget) -> None:
    sessions = [opened(budget, "gridproof pool") for _ in range(2)]
    sessions[0].closed = True
    sessions.append(opened(budget, "gridproof pool"))
    assert budget.open_sessions() == {"pool": 2}
    sessions.clear()
    assert budget.open_sessions() == {}


def test_a_session_that_is_being_opened_counts_and_one_that_fails_does_not(budget: SessionBudget) -> None:
    def refused() -> None:
        with budget.place("gridproof locks"):
            with pytest.raises(BudgetExceeded):
                opened(budget, "gridproof locks")
            raise ConnectionError("refused")

    with pytest.raises(ConnectionError):
        refused()
    assert budget.open_sessions() == {}


def test_without_limits_sessions_are_only_counted() -> None:
    budget = SessionBudget()
    sessions = [opened(budget, "psql") for _ in range(100)]
    assert budget.open_sessions() == {"psql": len(sessions)}


def test_closed_sessions_of_ever_new_names_leave_nothing() -> None:
    budget = SessionBudget()
    for number in range(100):
        opened(budget, f"gridproof event store {number}").closed = True
    assert budget.open_sessions() == {}
    assert budget._places == {}
