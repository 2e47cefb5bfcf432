"""The internals of three libraries that we override, against the installed versions (ADR 0053)."""

import inspect
import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import psycopg.waiting
import psycopg_pool
import pytest
from eventsourcing.application import Application
from eventsourcing.domain import BaseAggregate, CanInitAggregate, CanMutateAggregate
from eventsourcing.persistence import Mapper
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresFactory
from psycopg_pool.base import AttemptWithBackoff

from adapters.postgres.connection.pool import RECONNECT_EVERY_S, ConstantBackoff, PostgresPool
from adapters.postgres.event_store.library_factory import StoreDatastore, StoreFactory
from adapters.postgres.event_store.recorder import GroupCommitRecorder
from application.event_store.demand_response import DemandResponse
from application.event_store.event_mapper import MsgspecMapper
from application.event_store.forecasts import Forecasts
from domain.event_sourcing.aggregate import Aggregate, CreationEvent, DomainEvent

PYPROJECT = Path(__file__).parents[4] / "pyproject.toml"


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", ["eventsourcing", "psycopg", "psycopg-pool", "nats-py", "uvicorn"])
def test_a_library_whose_internals_we_override_is_pinned_to_the_installed_version(name: str) -> None:
    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    pinned = [
        re.split("==", line) for line in dependencies if re.fullmatch(rf"{name}(\[.*\])?[=<>~].*", line)
    ]
    pinned = [[re.sub(r"\[.*\]", "", library), *versions] for library, *versions in pinned]
    assert pinned == [[name, version(name)]]


@pytest.mark.parametrize("connection", [psycopg.Connection, psycopg.AsyncConnection])
def test_a_session_connects_to_each_host_by_the_generator_that_we_override(connection: type) -> None:
    assert inspect.isgeneratorfunction(psycopg.BaseConnection._connect_gen)
    assert parameters(connection._connect_gen) == ["conninfo"]  # type: ignore[attr-defined]
    source = inspect.getsource(connection.connect)  # type: ignore[attr-defined]
    assert source.index("for attempt in attempts") < source.index("cls._connect_gen(conninfo)")
    assert "fileno, s = next(gen)" in inspect.getsource(psycopg.waiting.wait_conn)


def test_the_pool_connects_by_the_method_that_we_override() -> None:
    assert (
        parameters(psycopg_pool.ConnectionPool._connect)
        == parameters(PostgresPool._connect)
        == ["self", "timeout"]
    )
    assert parameters(psycopg_pool.ConnectionPool._add_connection) == ["self", "attempt", "growing"]
    assert parameters(PostgresPool._add_connection) == ["self", "attempt", "growing"]
    source = inspect.getsource(psycopg_pool.ConnectionPool._add_connection)
    assert "AttemptWithBackoff" in source, "the pool retries with the base class of ours"
    assert "attempt.update_delay" in source


def test_our_backoff_sets_the_constants_of_the_library() -> None:
    assert AttemptWithBackoff.INITIAL_DELAY != ConstantBackoff.INITIAL_DELAY == RECONNECT_EVERY_S
    assert AttemptWithBackoff.DELAY_BACKOFF != ConstantBackoff.DELAY_BACKOFF == 1.0
    attempt = ConstantBackoff(timeout=float("inf"))
    delays = set()
    for _ in range(20):
        attempt.update_delay(now=1_000.0)
        delays.add(attempt.delay)
    assert len(delays) == 1
    assert delays.pop() == pytest.approx(RECONNECT_EVERY_S, rel=AttemptWithBackoff.DELAY_JITTER)
    assert not attempt.time_to_give_up(now=1e9)


def test_the_pool_has_the_attributes_and_methods_that_we_use() -> None:
    assert parameters(psycopg_pool.ConnectionPool.getconn) == ["self", "timeout"]
    assert parameters(psycopg_pool.ConnectionPool.putconn) == ["self", "conn"]
    pool = psycopg_pool.ConnectionPool("host=nowhere", open=False, timeout=3.0, kwargs={"port": 1})
    assert (pool.timeout, pool.conninfo, pool.kwargs) == (3.0, "host=nowhere", {"port": 1})


def test_the_datastore_has_the_attributes_that_we_use() -> None:
    datastore = StoreDatastore("postgresql://nobody:none@nowhere:1/none", lock_timeout_s=7)
    assert datastore.pool.closed, "it opens its pool at the first use only"
    assert (datastore.schema, datastore.lock_timeout) == ("gridproof", 7)
    assert datastore.originator_id_type == "uuid"
    assert parameters(PostgresDatastore.__init__)[1:6] == ["dbname", "host", "port", "user", "password"]
    assert "register_type_adapters" in vars(PostgresDatastore), "StoreDatastore overrides it"


def test_the_factory_needs_no_more_than_a_datastore() -> None:
    factory = StoreFactory({StoreFactory.ADDRESS: "postgresql://nobody@nowhere/none", "CREATE_TABLE": "no"})
    assert isinstance(factory.datastore, StoreDatastore)
    source = inspect.getsource(PostgresFactory.application_recorder)
    assert "datastore=self.datastore" in source


def test_the_recorder_inserts_by_the_method_that_we_override() -> None:
    assert parameters(PostgresApplicationRecorder.insert_events) == ["self", "stored_events", "kwargs"]
    assert parameters(PostgresApplicationRecorder.__init__)[:2] == ["self", "datastore"]
    assert "events_table_name" in parameters(PostgresApplicationRecorder.__init__)
    assert issubclass(GroupCommitRecorder, PostgresApplicationRecorder)
    assert "self.channel_name" in inspect.getsource(PostgresApplicationRecorder.__init__)


def test_the_mapper_maps_by_the_two_methods_that_we_override() -> None:
    for name in ("to_stored_event", "to_domain_event"):
        assert parameters(getattr(Mapper, name)) == parameters(getattr(MsgspecMapper, name)), name


def test_the_library_reads_and_writes_no_snapshots() -> None:
    """It would believe every stored row (ADR 0063)."""
    assert hasattr(Application, "snapshotting_intervals")
    for application in (DemandResponse, Forecasts):
        assert not application.is_snapshotting_enabled
        assert not application.snapshotting_intervals


class Count(Aggregate[Any]):
    """An aggregate that counts."""

    class Event(Aggregate.Event, frozen=True, kw_only=True):
        TOPIC = "test-internals.event"

    class Begun(CreationEvent, Event, frozen=True, kw_only=True):
        TOPIC = "test-internals.begun"
        originator_topic: str

        def initial_state(self) -> int:
            return 0

    class Raised(Event, frozen=True, kw_only=True):
        TOPIC = "test-internals.raised"

        def evolve(self, state: int) -> int:
            return state + 1


NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS: dict[str, Any] = {
    "timestamp": NOW,
    "correlation_id": uuid4(),
    "causation_id": uuid4(),
    "actor": "worker:test",
    "tenant": None,
    "trace_id": "0" * 32,
}


def test_events_are_applied_by_the_methods_that_we_override() -> None:
    assert parameters(CanMutateAggregate.apply) == parameters(DomainEvent.apply)
    assert parameters(CanMutateAggregate._as_dict) == parameters(DomainEvent._as_dict)
    assert "self._as_dict()" in inspect.getsource(CanInitAggregate.mutate)
    assert "self.apply(" in inspect.getsource(CanMutateAggregate.mutate)


def test_an_aggregate_is_created_and_restored_by_the_methods_that_we_call() -> None:
    assert {"cls", "event_class", "id"} >= {*parameters(BaseAggregate._create.__func__)[:2]}  # type: ignore[attr-defined]
    assert parameters(BaseAggregate.__base_init__) == [
        "self",
        "originator_id",
        "originator_version",
        "timestamp",
    ]
    stream_id = uuid4()
    created = Count._create(Count.Begun, id=stream_id, **FACTS)
    created.trigger_event(Count.Raised, **FACTS)
    assert (created.version, created.state, len(created.pending_events)) == (2, 1, 2)
    restored = Count.__new__(Count)
    restored.__base_init__(stream_id, 2, NOW)
    restored.modified_on = NOW
    restored.__dict__["_state"] = 1
    following = Count.Raised(originator_id=stream_id, originator_version=3, **FACTS)
    assert following.mutate(restored) is restored
    assert (restored.version, restored.state, list(restored.pending_events)) == (3, 2, [])


def test_a_copy_shares_the_state_and_not_the_pending_events() -> None:
    created = Count._create(Count.Begun, id=uuid4(), **FACTS)
    assert "_pending_events" in created.__dict__
    copy = created.copy()
    assert (copy.id, copy.version, copy.state, list(copy.pending_events)) == (created.id, 1, 0, [])
    assert len(created.collect_events()) == 1
