"""The connection budget covers every process, and fits into the embedded server."""

import pytest
from prometheus_client import CollectorRegistry

from adapters.embedded.postgres import SETTINGS as EMBEDDED
from interfaces.bootstrap import WORKERS
from interfaces.bootstrap.connection_budget import (
    DEFAULT_PROCESSES,
    KINDS,
    connection_budget,
    kind_of,
    show_budget,
    total_budget,
)
from interfaces.settings.settings import Settings
from interfaces.system.running_system import PROCESSES
from interfaces.workers.web import server

RESERVED = 3
"""For superusers, by PostgreSQL's default."""


def test_every_process_of_the_system_has_a_budget() -> None:
    assert DEFAULT_PROCESSES.keys() == {*WORKERS, "web", "cli"}
    started = list(PROCESSES.values())
    assert {name: started.count(name) for name in started} | {"cli": 1} == dict(DEFAULT_PROCESSES)
    for name in DEFAULT_PROCESSES:
        assert connection_budget(name, Settings()).keys() <= KINDS.keys()


def test_the_embedded_server_allows_the_whole_system() -> None:
    assert total_budget(Settings()) <= int(EMBEDDED["max_connections"]) - RESERVED


def test_each_further_ingest_session_takes_a_lock_session() -> None:
    assert connection_budget("ingest", Settings())["ingest_locks"] == 1
    assert connection_budget("ingest", Settings(mqtt_sessions=4))["ingest_locks"] == 5


def test_requests_that_wait_for_a_projection_are_bounded_by_the_threads_of_the_web_process() -> None:
    assert connection_budget("web", Settings())["waits"] == server.THREADS


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gridproof pool", "pool"),
        ("gridproof group commit 0f3a", "event_store"),
        ("projection dispatches", "projections"),
        ("turn ingest", "ingest_locks"),
        ("psql", None),
        ("", None),
    ],
)
def test_a_session_shows_its_kind_by_its_name(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


def test_the_metric_shows_the_budget_of_the_process() -> None:
    registry = CollectorRegistry()
    show_budget("dispatch", Settings(), registry)
    name = "gridproof_postgres_connections_budget"
    assert registry.get_sample_value(name, {"kind": "call_slots"}) == 1
    assert registry.get_sample_value(name, {"kind": "pool"}) == 8
