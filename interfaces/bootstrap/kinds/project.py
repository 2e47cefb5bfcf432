"""Wiring of the projections and the ledger."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import uuid4

from adapters.postgres.audit.recorded_times import RecordedTimesIndex
from adapters.postgres.coordination.lock_balance import LockBalance
from adapters.postgres.read_model.projector import Projector
from interfaces.bootstrap.ledger import ledger_writer
from interfaces.bootstrap.stores import Stores
from interfaces.workers.loops.periodic import PeriodicCheck
from interfaces.workers.project import project
from interfaces.workers.project.log_follower import LogFollower
from projections.registry import PROJECTIONS


async def run(stores: Stores, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    projector = partial(
        Projector,
        dsn=stores.database_url,
        alerts=stores.alerts(),
        clock=stores.clock,
        balance=LockBalance("projection ", uuid4().hex[:8]),
    )
    loops: list[project.Loop] = [LogFollower(projector(projection)) for projection in PROJECTIONS]
    loops.append(LogFollower(ledger_writer(stores)))
    index = _index_of_times(stores)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(project.run(loops=loops, stop=stop), name="project")
        tasks.create_task(index.run(stop), name=index.name)


def _index_of_times(stores: Stores) -> PeriodicCheck:
    """Extends the index from times to positions of the log. Every process of the worker may: one at a time does."""
    index = RecordedTimesIndex(stores.pool)

    async def extend() -> float | None:
        return 0.0 if await asyncio.to_thread(index.extend) else None

    return PeriodicCheck(
        "index of recorded times",
        extend,
        every_s=2.0,
        retry_s=10.0,
        also=(Exception,),  # whatever it is: without the index reads by time scan more, or are refused
    )
