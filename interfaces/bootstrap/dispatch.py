"""Wiring of the workers of the two work queues: dispatch, the one that calls a BMS, with its reconciler; and notify."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from interfaces.bootstrap.backup.restore import restored_log, unexplained_facilities
from interfaces.bootstrap.ledger import NewestCheckpoint, ledger_store
from interfaces.bootstrap.operations import redelivery_s
from interfaces.bootstrap.secrets import callback_secrets
from interfaces.bootstrap.stores import Stores
from interfaces.bootstrap.tls import http_tls
from interfaces.failpoints import failpoint
from interfaces.workers.loops.probe_server import serve_also

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from adapters.nats.work_queue import NatsWorkQueue
    from application.dispatch.execution.executor import DispatchExecutor
    from application.ports.callback import UtilityNotifier
    from application.ports.dispatch.building_control import BuildingControl
    from application.ports.dispatch.call_slots import CallSlots
    from interfaces.workers.dispatch.metrics import BmsHealth
    from interfaces.workers.notify import NotifyWorker
    from projections.dispatch.projection import DispatchRow


async def run_dispatch(
    stores: Stores,
    stop: asyncio.Event,
    *,
    wrap: Callable[[BuildingControl], BuildingControl] = lambda control: control,
) -> None:
    """Run until `stop` is set. Tests wrap the building control."""
    from adapters.nats.work_queue import NatsWorkQueue
    from adapters.postgres.coordination.call_slots import SESSION, PostgresCallSlots
    from adapters.postgres.coordination.named_locks import AdvisoryLocks
    from adapters.postgres.coordination.partition_assignment import (
        BMS_LOCK_CLASS,
        PostgresPartitionAssignment,
    )
    from adapters.postgres.coordination.session_locks import LockSession
    from application.dispatch.time_limits import TIME_LIMITS
    from application.ports.dispatch.work_queue import BMS_PARTITIONS
    from interfaces.workers.dispatch.dispatch import DispatchWorker
    from interfaces.workers.dispatch.metrics import BmsHealth
    from interfaces.workers.dispatch.reconcile import Reconciler

    settings = stores.settings
    queue = await NatsWorkQueue.connect(
        str(settings.nats_url),
        redelivery_s=redelivery_s(stores),
        name="dispatch",
        replicas=settings.nats_replicas,
    )
    session = LockSession(stores.database_url, SESSION)
    check_wait_s = stores.clock.wall_seconds(TIME_LIMITS.check_wait_s)
    slots = PostgresCallSlots(session, settings.bms_max_concurrent, check_wait_s=check_wait_s)
    health = BmsHealth(stores.clock, stores.alerts())
    serve_also(health.registry)
    control = wrap(building_control(stores, slots, health))
    locks = AdvisoryLocks(session)
    worker = DispatchWorker(
        source=queue,
        former=queue,
        calls=_executor(stores, control),
        locks=locks,
        shares=PostgresPartitionAssignment(session, BMS_PARTITIONS, lock_class=BMS_LOCK_CLASS),
    )
    reconciler = Reconciler(
        curtailed=lambda: curtailed_dispatches(stores),
        publisher=queue,
        clock=stores.clock,
        locks=locks,
        every_s=settings.reconcile_s,
        unexplained=partial(unexplained_facilities, stores),
    )
    await _until_one_ends(worker.run(stop), reconciler.run(stop), health.run(stop))
    await control.aclose()
    await slots.aclose()
    await queue.aclose()


def _executor(stores: Stores, control: BuildingControl) -> DispatchExecutor:
    from application.command_bus.batching import CommandBatcher
    from application.dispatch.execution.executor import DispatchExecutor

    return DispatchExecutor(
        store=stores.events,
        commands=CommandBatcher(stores.bus),
        control=control,
        clock=stores.decision_clock,
        dead_letters=stores.dead_letters(),
        alerts=stores.alerts(),
        reached=failpoint(stores.settings.failpoint, stores.settings.failpoint_once_file),
        confirm_clock=stores.clock_monitor.confirm,
        restored=restored_log(stores),
    )


async def _until_one_ends(*loops: Coroutine[Any, Any, None]) -> None:
    """Run all loops until one ends, and cancel the others: one may wait for a lock that another process holds."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def curtailed_dispatches(stores: Stores) -> list[DispatchRow]:
    """The dispatches whose buildings are curtailed now, from the read model."""
    from domain.dispatch import CURTAILED
    from projections.queries.views import all_rows

    view = stores.read_models().dispatches
    return [row for status in sorted(CURTAILED) for row in all_rows(view, status=status)]


def building_control(stores: Stores, slots: CallSlots, health: BmsHealth) -> BuildingControl:
    """The SOAP client of the buildings."""
    from adapters.bms.soap import SoapBuildingControl, SoapLimits
    from application.facility.bms_networks import BmsNetworks
    from interfaces.bootstrap.secrets import portfolio_secrets

    settings = stores.settings
    return SoapBuildingControl(
        clock=stores.clock,
        secret=portfolio_secrets(settings, stores.clock).resolve,
        networks=BmsNetworks.of(settings.bms_networks),
        tls=http_tls(settings),
        slots=slots,
        limits=SoapLimits(connect_s=settings.bms_connect_timeout_s, total_s=settings.bms_total_timeout_s),
        breaker_listener=health.breaker_changed,
        call_listener=health.call_ended,
    )


def notify_worker(
    stores: Stores,
    queue: NatsWorkQueue,
    wrap: Callable[[UtilityNotifier], UtilityNotifier],
    *,
    reached: Callable[[str, str], None],
) -> NotifyWorker:
    """The worker that takes callbacks from `queue`. `reached` is called at each failpoint."""
    from adapters.callback import HttpUtilityNotifier
    from application.callback import CallbackCalls
    from interfaces.workers.notify import NotifyWorker

    notifier: UtilityNotifier = HttpUtilityNotifier(
        clock=stores.decision_clock,
        secret_of=callback_secrets(stores),
        newest_checkpoint=NewestCheckpoint(ledger_store(stores)),
        allow_private=stores.settings.allow_private_callbacks,
        ports=stores.settings.callback_port_numbers,
        tls=http_tls(stores.settings),
    )
    calls = CallbackCalls(
        store=stores.events,
        bus=stores.bus,
        notifier=wrap(notifier),
        addresses=stores.callback_addresses(),
        clock=stores.clock,
        dead_letters=stores.dead_letters(),
        alerts=stores.alerts(),
        reached=reached,
    )
    return NotifyWorker(queue, calls)
