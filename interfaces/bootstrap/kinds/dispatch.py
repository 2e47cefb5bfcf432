"""Wiring of the dispatch worker, which calls the BMSs, with its reconciler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from adapters.bms.soap import SoapBuildingControl, SoapLimits
from adapters.postgres.coordination.call_slots import SESSION, PostgresCallSlots
from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.coordination.work_holder import PostgresWorkHolder
from adapters.postgres.event_store.log_listener import LogListener
from application.command_bus.batching import CommandBatcher
from application.dispatch.execution.executor import DispatchExecutor
from application.dispatch.time_limits import TIME_LIMITS
from application.facility.bms_networks import BmsNetworks
from application.ports.dispatch.building_control import BuildingControl
from application.ports.dispatch.call_slots import CallSlots
from domain.dispatch import CURTAILED
from interfaces.bootstrap.backup.restore import restored_log, unexplained_facilities
from interfaces.bootstrap.operations import failpoint_of
from interfaces.bootstrap.secrets import portfolio_secrets
from interfaces.bootstrap.stores import Stores
from interfaces.bootstrap.tls import http_tls
from interfaces.workers.dispatch.dispatch import DispatchWorker
from interfaces.workers.dispatch.metrics import BmsHealth
from interfaces.workers.dispatch.reconcile import Reconciler
from interfaces.workers.loops.probe_server import serve_also
from projections.dispatch.projection import DispatchRow
from projections.queries.views import all_rows


async def run(
    stores: Stores,
    stop: asyncio.Event,
    *,
    wrap: Callable[[BuildingControl], BuildingControl] = lambda control: control,
) -> None:
    """Run until `stop` is set. Tests wrap the building control."""
    settings, rows = stores.settings, stores.open_work()
    session = LockSession(stores.database_url, SESSION)
    check_wait_s = stores.clock.wall_seconds(TIME_LIMITS.check_wait_s)
    slots = PostgresCallSlots(session, settings.bms_max_concurrent, check_wait_s=check_wait_s)
    health = BmsHealth(stores.clock, stores.alerts())
    serve_also(health.registry)
    control = wrap(building_control(stores, slots, health))
    locks, signal = AdvisoryLocks(session), LogListener(stores.database_url, "demand_response_events")
    worker = DispatchWorker(
        rows=rows,
        holder=PostgresWorkHolder(session),
        signal=signal,
        event_log=stores.events,
        calls=_executor(stores, control),
        locks=locks,
    )
    reconciler = Reconciler(
        curtailed=lambda: curtailed_dispatches(stores),
        rows=rows,
        clock=stores.clock,
        locks=locks,
        every_s=settings.reconcile_s,
        unexplained=partial(unexplained_facilities, stores),
    )
    async with asyncio.TaskGroup() as tasks:
        for loop in (worker, reconciler, health):
            tasks.create_task(loop.run(stop))
    await control.aclose()
    await slots.aclose()
    await signal.aclose()


def _executor(stores: Stores, control: BuildingControl) -> DispatchExecutor:
    return DispatchExecutor(
        store=stores.events,
        commands=CommandBatcher(stores.bus),
        control=control,
        clock=stores.decision_clock,
        dead_letters=stores.dead_letters(),
        alerts=stores.alerts(),
        reached=failpoint_of(stores),
        confirm_clock=stores.clock_monitor.confirm,
        restored=restored_log(stores),
        curtailed=partial(curtailed_dispatches, stores),
    )


def curtailed_dispatches(stores: Stores, facility_id: str | None = None) -> list[DispatchRow]:
    """The dispatches whose buildings are curtailed now, from the read model: all, or those of one building."""
    view, of = stores.read_models().dispatches, {} if facility_id is None else {"facility_id": facility_id}
    return [row for status in sorted(CURTAILED) for row in all_rows(view, status=status, **of)]


def building_control(stores: Stores, slots: CallSlots, health: BmsHealth) -> BuildingControl:
    """The SOAP client of the buildings."""
    settings = stores.settings
    return SoapBuildingControl(
        clock=stores.clock,
        secret=portfolio_secrets(settings).resolver("bms"),
        networks=BmsNetworks.of(settings.bms_networks),
        tls=http_tls(settings),
        slots=slots,
        limits=SoapLimits(connect_s=settings.bms_connect_timeout_s, total_s=settings.bms_total_timeout_s),
        breaker_listener=health.breaker_changed,
        call_listener=health.call_ended,
    )
