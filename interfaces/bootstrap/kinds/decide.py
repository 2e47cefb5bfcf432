"""Wiring of what decides: the relay, which gives the commands that follow from the log, and the deadlines.

They lead by a lock each, so they could be two kinds.
"""

from __future__ import annotations

import asyncio
from functools import partial

from adapters.postgres.event_store.log_listener import LogListener
from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
from application.command_bus.batching import CommandBatcher
from application.command_bus.retry import Stopped, retry_while_unavailable
from application.operations.recorded_migrations import record_migrations
from application.ports.coordination.locks import Locks
from interfaces.bootstrap.operations import failpoint_of, locks_of
from interfaces.bootstrap.stores import Stores
from interfaces.workers.decide.deadlines import KINDS, MOST_PLANS, PLANS, Schedule
from interfaces.workers.decide.guarded_log import HaltAtUnreadable, run_again_when_readable
from interfaces.workers.decide.relay import READER, Relay


async def run(stores: Stores, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    locks = locks_of(stores)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_relay(stores, locks, stop), name="relay")
        tasks.create_task(_deadlines(stores, locks).run(stop), name="deadlines")


async def run_relay(stores: Stores, locks: Locks, stop: asyncio.Event) -> None:
    """Follow the log until `stop` is set."""
    try:
        await _record_migrations(stores, stop)
    except Stopped:
        return
    positions = PostgresReaderPositions(stores.pool)
    log = HaltAtUnreadable(stores.events, READER, positions, stores.alerts(), stores.clock)
    relay = Relay(
        event_log=log,
        positions=positions,
        commands=CommandBatcher(stores.bus),
        locks=locks,
        signal=LogListener(stores.database_url, "demand_response_events"),
        reached=failpoint_of(stores),
        dead_letters=stores.dead_letters(),
        clock=stores.clock,
    )
    await run_again_when_readable(relay.run, stop, log.halt)


def _deadlines(stores: Stores, locks: Locks) -> Schedule:
    due = stores.read_models().deadlines.due
    return Schedule(
        due=partial(due, kinds=KINDS),
        plans_due=partial(due, kinds=PLANS, limit=MOST_PLANS),
        bus=stores.bus,
        clock=stores.clock,
        locks=locks,
        reached=failpoint_of(stores),
        alerts=stores.alerts(),
    )


async def _record_migrations(stores: Stores, stop: asyncio.Event) -> None:
    """Record what `gridproof migrate` did before this process started. Raises Stopped."""
    record = partial(record_migrations, stores.act_log(), stores.decision_clock)
    await retry_while_unavailable(lambda: asyncio.to_thread(record), stop=stop)
