"""Wiring of the monitors, expiries and sweepers of the schedule worker that need nothing but the stores and NATS."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from interfaces.bootstrap.operations import redelivery_s

if TYPE_CHECKING:
    from adapters.nats.work_queue import NatsWorkQueue
    from application.ports.coordination.locks import Locks
    from interfaces.bootstrap.stores import Stores
    from interfaces.workers.schedule.alert_expiry import AlertExpiry
    from interfaces.workers.schedule.batch_monitor import BatchMonitor
    from interfaces.workers.schedule.idempotency_expiry import IdempotencyKeyExpiry
    from interfaces.workers.schedule.lost_callback_sweeper import LostCallbackSweeper
    from interfaces.workers.schedule.lost_work_sweeper import LostWorkSweeper
    from interfaces.workers.schedule.queue_monitor import WebhookQueueMonitor
    from interfaces.workers.schedule.recovery_monitor import RecoveryMonitor


def recovery_monitor(stores: Stores) -> RecoveryMonitor:
    from interfaces.workers.schedule.recovery_monitor import RecoveryMonitor

    read_models = stores.read_models()
    return RecoveryMonitor(
        overdue=partial(read_models.deadlines.overdue_work, "recovery"),
        dispatches=read_models.dispatches,
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def batch_monitor(stores: Stores) -> BatchMonitor:
    from interfaces.workers.schedule.batch_monitor import BatchMonitor

    read_models = stores.read_models()
    return BatchMonitor(
        dr_events=read_models.dr_events,
        dispatches=read_models.dispatches,
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def alert_expiry(stores: Stores) -> AlertExpiry:
    from interfaces.workers.schedule.alert_expiry import AlertExpiry, no_dispatch_under_way

    is_over = {"bms_drift": no_dispatch_under_way(stores.read_models().dispatches)}
    return AlertExpiry(alerts=stores.alerts(), clock=stores.clock, is_over=is_over)


def idempotency_expiry(stores: Stores) -> IdempotencyKeyExpiry:
    from adapters.postgres.event_store.idempotency_retention import PostgresIdempotencyRetention
    from interfaces.workers.schedule.idempotency_expiry import IdempotencyKeyExpiry

    return IdempotencyKeyExpiry(
        keys=PostgresIdempotencyRetention(stores.pool),
        days=stores.settings.idempotency_days,
        clock=stores.clock,
    )


def webhook_queue_monitor(stores: Stores) -> WebhookQueueMonitor:
    from interfaces.workers.schedule.queue_monitor import WebhookQueueMonitor

    return WebhookQueueMonitor(
        queue=partial(stores.read_models().planning_queue, tenant=None),
        depth=stores.settings.queue_depth,
        alerts=stores.alerts(),
        clock=stores.clock,
    )


async def sweep_lost_work(stores: Stores, locks: Locks, stop: asyncio.Event) -> None:
    """Run the sweepers until `stop`, once NATS answers. Without an address of NATS it does nothing."""
    from application.command_bus.retry import Stopped, retry_while_unavailable
    from interfaces.workers.loops.side_task import run_side_task

    nats_url = stores.settings.nats_url
    if nats_url is None:
        return
    try:
        queue = await retry_while_unavailable(partial(_connected, stores, str(nats_url)), stop=stop)
    except Stopped:
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, sweeper in (
                ("sweeper of lost commands", _of_commands(stores, queue)),
                ("sweeper of lost callbacks", _of_callbacks(stores, queue)),
            ):
                run = partial(sweeper.periodic.run, locks=locks)
                guarded = run_side_task(run, stop, name=name, alerts=stores.alerts(), clock=stores.clock)
                tasks.create_task(guarded, name=name)
    finally:
        await queue.aclose()


def _of_commands(stores: Stores, queue: NatsWorkQueue) -> LostWorkSweeper:
    from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
    from interfaces.workers.schedule.lost_work_sweeper import LostWorkSweeper

    return LostWorkSweeper(
        overdue=partial(stores.read_models().deadlines.overdue_work, "bms_command"),
        inventory=queue,
        positions=PostgresReaderPositions(stores.pool),
        bus=stores.bus,
        dead_letters=stores.dead_letters(),
        alerts=stores.alerts(),
        clock=stores.clock,
    )


def _of_callbacks(stores: Stores, queue: NatsWorkQueue) -> LostCallbackSweeper:
    from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
    from application.command_bus.batching import CommandBatcher
    from application.dispatch.callback_parking import CallbackParking
    from interfaces.workers.schedule.lost_callback_sweeper import LostCallbackSweeper

    dead_letters, alerts = stores.dead_letters(), stores.alerts()
    return LostCallbackSweeper(
        overdue=partial(stores.read_models().deadlines.overdue_work, "callback"),
        inventory=queue,
        positions=PostgresReaderPositions(stores.pool),
        event_log=stores.events,
        store=stores.events,
        publisher=queue,
        parking=CallbackParking(dead_letters, alerts, CommandBatcher(stores.bus), stores.clock),
        dead_letters=dead_letters,
        alerts=alerts,
        clock=stores.clock,
    )


async def _connected(stores: Stores, nats_url: str) -> NatsWorkQueue:
    from adapters.nats.work_queue import NatsWorkQueue

    return await NatsWorkQueue.connect(
        nats_url, redelivery_s=redelivery_s(stores), name="schedule", replicas=stores.settings.nats_replicas
    )
