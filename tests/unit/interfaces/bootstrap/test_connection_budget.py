"""The connection budget covers every process, and fits into the embedded server."""

import sys
from unittest.mock import Mock

import pytest
from prometheus_client import CollectorRegistry

from adapters.embedded.postgres import SETTINGS as EMBEDDED
from adapters.postgres.connection.budget import BUDGET, BudgetExceeded
from application.operations.process_kinds import NAMES
from interfaces.bootstrap.connection_budget import (
    DEFAULT_PROCESSES,
    KINDS,
    connection_budget,
    enforce_budget,
    kind_of,
    show_budget,
    total_budget,
)
from interfaces.settings.settings import Settings
from interfaces.system.running_system import PROCESSES

RESERVED = 3
"""PostgreSQL's default number of connections reserved for superusers."""


def test_each_process_has_a_connection_budget() -> None:
    assert DEFAULT_PROCESSES.keys() == {*NAMES, "cli"}
    started = list(PROCESSES.values())
    assert {name: started.count(name) for name in started} | {"cli": 1} == dict(DEFAULT_PROCESSES)
    for name in DEFAULT_PROCESSES:
        assert connection_budget(name, Settings()).keys() <= KINDS.keys()


def test_the_embedded_server_allows_the_total_budget() -> None:
    assert total_budget(Settings()) <= int(EMBEDDED["max_connections"]) - RESERVED


def test_a_process_holds_its_locks_in_one_session() -> None:
    """However many locks these are: call slots, one for each MQTT session, a share of the partitions."""
    assert {connection_budget(name, Settings()).get("locks", 1) for name in DEFAULT_PROCESSES} == {1}


def test_a_default_system_needs_at_most_130_sessions() -> None:
    for name, count in DEFAULT_PROCESSES.items():
        each = sum(connection_budget(name, Settings()).values())
        sys.stdout.write(f"{name:10} {count} x {each:3}\n")
    sys.stdout.write(f"a default system: {total_budget(Settings())} sessions\n")
    assert total_budget(Settings()) <= 130


def test_a_worker_that_would_exceed_its_budget_is_refused() -> None:
    enforce_budget("decide", Settings())
    try:
        session = Mock(closed=False)
        with BUDGET.place("gridproof listen") as place:
            place.hold(session)
        with pytest.raises(BudgetExceeded), BUDGET.place("gridproof listen"):
            pass
        with pytest.raises(BudgetExceeded), BUDGET.place("gridproof live log"):
            pass
    finally:
        BUDGET.set_limits(None, kind_of)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gridproof pool", "pool"),
        ("gridproof group commit 0f3a", "event_store"),
        ("projection dispatches", "projections"),
        ("turn ingest", "locks"),
        ("psql", None),
        ("", None),
    ],
)
def test_a_session_name_states_its_kind(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


def test_the_metric_shows_the_budget_of_the_process() -> None:
    registry = CollectorRegistry()
    show_budget("dispatch", Settings(), registry)
    name = "gridproof_postgres_connections_budget"
    assert registry.get_sample_value(name, {"kind": "locks"}) == 1
    assert registry.get_sample_value(name, {"kind": "pool"}) == 4


def test_the_metric_shows_the_sessions_that_the_process_has_open() -> None:
    registry, name, session = CollectorRegistry(), "gridproof_postgres_sessions", Mock(closed=False)
    enforce_budget("dispatch", Settings())
    try:
        show_budget("dispatch", Settings(), registry)
        assert registry.get_sample_value(name, {"kind": "pool"}) == 0
        with BUDGET.place("gridproof pool") as place:
            place.hold(session)
        assert registry.get_sample_value(name, {"kind": "pool"}) == 1
        session.closed = True
        assert registry.get_sample_value(name, {"kind": "pool"}) == 0
    finally:
        BUDGET.set_limits(None, kind_of)
