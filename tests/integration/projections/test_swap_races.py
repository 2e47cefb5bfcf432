"""Readers and runners during a swap. A lock of the test stops them at the critical moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest

from adapters.postgres.read_model.rebuild.rebuild import PostgresProjectionMaintenance
from application.ports.event_store.event_log import LogEntry
from projections.dispatch.projection import DispatchesProjection
from projections.engine.maintenance import OldTransactionsOpen
from tests.integration.projections.conftest import WAIT_S, ReadSide, eventually, running
from tests.integration.projections.stored_log import StoppedClock
from tests.property.projections.projected_logs import PortfolioWalk

LOCK = 4_711
# The planner evaluates a stable function for its estimate after it has determined the partitions. The
# statement takes its snapshot only after that.
PAUSE = f"""
CREATE FUNCTION public.pause_of_the_test() RETURNS bigint LANGUAGE plpgsql STABLE COST 1 AS $$
BEGIN
    PERFORM pg_advisory_lock_shared({LOCK});
    PERFORM pg_advisory_unlock_shared({LOCK});
    RETURN 0;
END
$$;
"""
PAUSED_READ = """
SELECT count(*) FROM gridproof.rm_dispatches
WHERE generation = (SELECT generation FROM gridproof.projection_positions WHERE name = 'dispatches')
    AND position >= public.pause_of_the_test()
"""


@pytest.fixture(scope="module")
def entries() -> list[LogEntry]:
    """A complete DR event with random other events."""
    numbers, walk = random.Random(5), PortfolioWalk()
    walk.happy()
    for _ in range(150):
        walk.step(numbers.randrange(10_000_000))
    return walk.entries


@pytest.fixture
def filled(read_side: ReadSide, entries: list[LogEntry]) -> ReadSide:
    """A read side with current `dispatches`."""
    read_side.store(entries)
    read_side.catch_up(DispatchesProjection())
    return read_side


def _count(read_side: ReadSide) -> int:
    return len(read_side.models.dispatches.listed(limit=1000).rows)


def _ask(read_side: ReadSide, query: LiteralString, *parameters: object) -> Any:
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        row: Any = connection.execute(query, parameters).fetchone()
        return row[0]


def _is_attached(read_side: ReadSide) -> bool:
    return bool(
        _ask(read_side, "SELECT coalesce(bool_or(attached), false) FROM gridproof.projection_rebuilds")
    )


def _generation(read_side: ReadSide) -> int:
    query = "SELECT generation FROM gridproof.projection_positions WHERE name = 'dispatches'"
    return int(_ask(read_side, query))


@contextmanager
def reader_stopped_between_planning_and_execution(
    read_side: ReadSide, threads: ThreadPoolExecutor
) -> Iterator[tuple[Callable[[], None], Future[int]]]:
    """Returns two functions: one continues the reader, the other returns the number of rows that it saw."""

    def read() -> int:
        with psycopg.connect(read_side.database.app_dsn, autocommit=True) as connection:
            row: Any = connection.execute(PAUSED_READ.encode()).fetchone()
            return int(row[0])

    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
    with psycopg.connect(read_side.database.admin_dsn, autocommit=True) as held:
        held.execute(PAUSE.encode())
        held.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        reader = threads.submit(read)

        def let_go() -> None:
            held.execute("SELECT pg_advisory_unlock_all()")

        try:
            eventually(lambda: _ask(read_side, waiting, LOCK) == 1, "the reader waits")
            yield let_go, reader
        finally:
            let_go()


def test_a_swap_waits_for_a_reader_planned_before_the_new_rows_were_attached(filled: ReadSide) -> None:
    expected, before = _count(filled), _generation(filled)
    with (
        ThreadPoolExecutor(2) as threads,
        reader_stopped_between_planning_and_execution(filled, threads) as (let_go, reader),
    ):
        rebuild = threads.submit(filled.maintenance.rebuild, DispatchesProjection())
        eventually(lambda: _is_attached(filled), "the new rows attached")
        assert _generation(filled) == before
        let_go()
        assert reader.result(WAIT_S) == expected > 0
        assert rebuild.result(WAIT_S).rows == expected
    assert _generation(filled) == before + 1


def test_a_reader_that_never_ends_fails_the_rebuild_and_it_is_resumed_later(filled: ReadSide) -> None:
    expected, before = _count(filled), _generation(filled)
    dsn, reached = filled.database.app_dsn, list[str]()
    impatient = PostgresProjectionMaintenance(dsn, StoppedClock(), readers_wait_s=0.1, reached=reached.append)
    with (
        ThreadPoolExecutor(1) as threads,
        reader_stopped_between_planning_and_execution(filled, threads) as (let_go, reader),
    ):
        for _ in range(2):
            with pytest.raises(OldTransactionsOpen, match="goes on from there"):
                impatient.rebuild(DispatchesProjection())
        assert _generation(filled) == before
        let_go()
        assert reader.result(WAIT_S) == expected > 0
    assert impatient.rebuild(DispatchesProjection()).rows == expected
    assert reached == ["begun", "stretch", "attached", "awaited", "swapped"]
    assert _generation(filled) == before + 1
    assert filled.differences(DispatchesProjection()) == {}


def test_a_swap_does_not_wait_for_a_later_transaction_and_it_sees_all_rows(
    filled: ReadSide,
) -> None:
    expected, opened = _count(filled), list[psycopg.Connection[Any]]()
    query = PAUSED_READ.replace("public.pause_of_the_test()", "0").encode()

    def read_in_a_transaction(stage: str) -> None:
        if stage == "awaited":
            opened.append(psycopg.connect(filled.database.app_dsn))
            assert opened[0].execute(query).fetchone() == (expected,)

    maintenance = PostgresProjectionMaintenance(
        filled.database.app_dsn, StoppedClock(), reached=read_in_a_transaction
    )
    maintenance.rebuild(DispatchesProjection())
    assert opened[0].execute(query).fetchone() == (expected,)  # rows that it may read are not dropped
    opened[0].close()


def test_an_earlier_prepared_plan_sees_all_rows_after_a_rebuild(filled: ReadSide) -> None:
    expected = _count(filled)
    query = PAUSED_READ.replace("public.pause_of_the_test()", "%s::bigint").encode()
    with psycopg.connect(filled.database.app_dsn, autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        for _ in range(3):
            assert connection.execute(query, (0,), prepare=True).fetchone() == (expected,)
            filled.maintenance.rebuild(DispatchesProjection())
            assert connection.execute(query, (0,), prepare=True).fetchone() == (expected,)


def test_a_runner_continues_with_the_new_rows_after_a_swap(
    read_side: ReadSide, entries: list[LogEntry]
) -> None:
    """The runner uses the old generation and folds domain events of dispatches whose rows it does not find."""
    projection = DispatchesProjection()
    half = next(index for index, entry in enumerate(entries) if entry.topic == "dispatch.planned.v1") + 1
    read_side.store(entries[:half])
    with running(read_side.projector(projection)):
        eventually(lambda: read_side.position(projection.name).lag == 0, "the head reached")
        read_side.maintenance.rebuild(projection)
        read_side.store(entries[half:])
        eventually(lambda: read_side.position(projection.name).lag == 0, "the head reached again")
    assert "projection_stopped" not in {item.name for item in read_side.alerts.listed(include_cleared=True)}
    assert read_side.differences(projection) == {}
