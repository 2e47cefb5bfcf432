"""Rows of open work that name nothing to do, on PostgreSQL: they are parked with an alert, and the next row is done."""

import asyncio
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.coordination.work_holder import PostgresWorkHolder
from adapters.postgres.event_store.log_listener import LogListener
from adapters.postgres.operations.open_work import PostgresOpenWork
from domain.dispatch import Dispatch
from interfaces.workers.dispatch.dispatch import DispatchWorker
from tests.fakes.coordination.locks import FakeLocks
from tests.in_process_system import InProcessSystem
from tests.servers import Database

PATIENCE_S = 60.0


def test_a_row_that_names_no_intent_is_parked_and_the_next_row_is_done(database: Database) -> None:
    world = InProcessSystem.accepted("fac-001").until("preparing")
    log = world.scenario.store
    [requested] = [
        entry.position
        for entry in log.read_after(0, 1_000)
        if isinstance(entry.domain_event, Dispatch.BmsCommandRequested)
    ]
    assert world.dispatch().status == "prepared"
    rows = [("fac-001", 1), ("fac-001", 1_000_000), ("fac-002", requested), ("fac-001", requested)]

    async def scenario(pool: ConnectionPool[Any], owner: psycopg.Connection) -> None:
        session = LockSession(database.app_dsn)
        signal = LogListener(database.app_dsn, "demand_response_events")
        worker = DispatchWorker(
            rows=PostgresOpenWork(pool),
            holder=PostgresWorkHolder(session),
            signal=signal,
            event_log=log,
            calls=world.calls,
            locks=FakeLocks(),
        )
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        while not running.done():
            if owner.execute("SELECT count(*) FROM gridproof.open_work").fetchone() == (0,):
                break
            await asyncio.sleep(0.01)
        stop.set()
        await running
        await signal.aclose()
        await session.aclose()

    with (
        ConnectionPool[Any](database.app_dsn, min_size=1, max_size=4) as pool,
        psycopg.connect(database.owner_dsn, autocommit=True) as owner,
    ):
        with owner.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO gridproof.open_work (kind, queue, position) VALUES ('bms', %s, %s)", rows
            )
        asyncio.run(asyncio.wait_for(scenario(pool, owner), PATIENCE_S))
    letters = world.dead_letters.listed(queue="bms_command")
    assert sorted(letter.subject for letter in letters) == ["fac-001", "fac-001", "fac-002"]
    assert all(b'"position"' in letter.body for letter in letters)
    assert ("command_dead_lettered", "fac-001") in {
        (alert.name, alert.subject) for alert in world.alerts.listed()
    }
    assert world.actions() == [("fac-001", "prepare")]
