"""Wiring of the two parts of the schedule worker that look for work that was recorded and never came to an end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from interfaces.bootstrap.operations import redelivery_s

if TYPE_CHECKING:
    import asyncio

    from adapters.nats.work_queue import NatsWorkQueue
    from application.ports.coordination.locks import Locks
    from interfaces.bootstrap.stores import Stores
    from interfaces.workers.schedule.recovery_monitor import RecoveryMonitor


def recovery_monitor(stores: Stores, locks: Locks) -> RecoveryMonitor:
    from interfaces.workers.schedule.recovery_monitor import RecoveryMonitor

    read_models = stores.read_models()
    return RecoveryMonitor(
        overdue=partial(read_models.deadlines.overdue_work, "recovery"),
        dispatches=read_models.dispatches,
        alerts=stores.alerts(),
        clock=stores.clock,
        locks=locks,
    )


async def sweep_lost_work(stores: Stores, locks: Locks, stop: asyncio.Event) -> None:
    """Run the sweeper until `stop`, once NATS answers. Without an address of NATS it does nothing."""
    from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
    from application.command_bus.retry import Stopped, retry_while_unavailable
    from interfaces.workers.schedule.lost_work_sweeper import LostWorkSweeper

    nats_url = stores.settings.nats_url
    if nats_url is None:
        return
    try:
        queue = await retry_while_unavailable(partial(_connected, stores, str(nats_url)), stop=stop)
    except Stopped:
        return
    sweeper = LostWorkSweeper(
        overdue=partial(stores.read_models().deadlines.overdue_work, "bms_command"),
        inventory=queue,
        positions=PostgresReaderPositions(stores.pool),
        bus=stores.bus,
        dead_letters=stores.dead_letters(),
        alerts=stores.alerts(),
        clock=stores.clock,
        locks=locks,
    )
    try:
        await sweeper.run(stop)
    finally:
        await queue.aclose()


async def _connected(stores: Stores, nats_url: str) -> NatsWorkQueue:
    from adapters.nats.work_queue import NatsWorkQueue

    return await NatsWorkQueue.connect(
        nats_url, redelivery_s=redelivery_s(stores), name="schedule", replicas=stores.settings.nats_replicas
    )
