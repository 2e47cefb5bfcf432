"""Wiring of each worker process: `gridproof worker NAME`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import uvloop

from interfaces.bootstrap.clock import measuring
from interfaces.bootstrap.connection_budget import POOL_SIZE, connection_budget, enforce_budget
from interfaces.bootstrap.dispatch import notify_worker, run_dispatch
from interfaces.bootstrap.forecast import run_forecast
from interfaces.bootstrap.health import lost_work
from interfaces.bootstrap.health.admission import admit
from interfaces.bootstrap.health.alerts import delivering_alerts
from interfaces.bootstrap.health.process import (
    heartbeat_monitor,
    recording_spans,
    reporting,
    serving_probes,
)
from interfaces.bootstrap.operations import (
    index_of_times,
    locks_of,
    position_monitor,
    redelivery_s,
    regression_source,
    remeasuring,
    replication_monitor,
    settling,
)
from interfaces.bootstrap.raw_archive import run_archive
from interfaces.bootstrap.servers import wait_for_database
from interfaces.bootstrap.stores import Stores, database_url, open_stores
from interfaces.bootstrap.telemetry import (
    reading_monitor,
    rollup_monitor,
    run_aggregate,
    run_ingest,
    sealing,
    telemetry_retention,
    watch_lag,
)
from interfaces.extras import require_extras_of
from interfaces.failpoints import failpoint
from interfaces.gc_tuning import collect_garbage_seldom
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from adapters.nats.work_queue import NatsWorkQueue
    from application.ports.callback import UtilityNotifier
    from application.ports.coordination.locks import Locks
    from interfaces.workers.loops.probe_server import ProbeServer
    from interfaces.workers.schedule.schedule import Schedule

THREADS = 32

Run = Callable[[Stores, asyncio.Event], Awaitable[None]]


def run_worker(name: str, settings: Settings) -> None:
    """Run the worker until SIGTERM or SIGINT.

    Raises ExtraMissing before anything starts, and any error that ends the worker; a supervisor restarts it.
    """
    from interfaces.logs import configure_logs

    os.umask(0o077)  # the archive and the ledger's key are for this user alone
    settings = replace(settings, migration_database_url=None)  # the owner's role is for `gridproof migrate`
    configure_logs(settings, process=name)
    require_extras_of([name])
    enforce_budget(name, settings)
    with recording_spans(name, settings):
        if name == "web":
            from interfaces.bootstrap.web import run_web

            run_web(settings)
            return
        pool_size = connection_budget(name, settings)["pool"]
        with serving_probes(name, settings) as server:
            uvloop.run(run_until_stopped(WORKERS[name], settings, pool_size=pool_size, report=(name, server)))


async def run_until_stopped(
    run: Run,
    settings: Settings,
    *,
    pool_size: int = POOL_SIZE,
    report: tuple[str, ProbeServer] | None = None,
) -> None:
    """Run with newly opened stores until SIGTERM or SIGINT. `report`: its worker and probes, if it reports."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, stop.set)
    if not await wait_for_database(database_url(settings), stop):
        return
    stores = open_stores(settings, pool_size=pool_size, is_start=True)
    try:
        if report is not None and not await admit(report[0], stores, stop):
            return
        collect_garbage_seldom()
        report_it = reporting(report[0], stores, report[1]) if report else nullcontext()
        async with measuring(stores.clock_monitor), report_it:
            await run(stores, stop)
    finally:
        stores.close()


async def _work_queue(stores: Stores, name: str) -> NatsWorkQueue:
    from adapters.nats.work_queue import NatsWorkQueue

    return await NatsWorkQueue.connect(
        str(stores.settings.nats_url),
        redelivery_s=redelivery_s(stores),
        name=name,
        replicas=stores.settings.nats_replicas,
    )


async def _record_migrations(stores: Stores, stop: asyncio.Event) -> None:
    """The relay records what `gridproof migrate` did before it started."""
    from contextlib import suppress

    from application.command_bus.retry import Stopped, retry_while_unavailable
    from application.operations.recorded_migrations import record_migrations

    record = partial(
        record_migrations,
        stores.act_log(),
        stores.decision_clock,
        writes_newer_topics=stores.events.writes_newer_topics,
    )
    with suppress(Stopped):
        await retry_while_unavailable(lambda: asyncio.to_thread(record), stop=stop)


async def _relay(stores: Stores, stop: asyncio.Event) -> None:
    from adapters.postgres.event_store.log_listener import LogListener
    from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
    from application.command_bus.batching import CommandBatcher
    from interfaces.workers.relay.guarded_log import HaltAtUnreadable, run_again_when_readable
    from interfaces.workers.relay.relay import READER, Relay
    from interfaces.workers.schedule.queue_monitor import AlertingPublisher

    await _record_migrations(stores, stop)
    queue = await _work_queue(stores, "relay")
    positions = PostgresReaderPositions(stores.pool)
    relay = Relay(
        event_log=HaltAtUnreadable(stores.events, READER, positions, stores.alerts(), stores.clock),
        store=stores.events,
        positions=positions,
        commands=CommandBatcher(stores.bus),
        publisher=AlertingPublisher.of(queue, stores.alerts(), stores.clock),
        locks=locks_of(stores),
        signal=LogListener(stores.database_url, "demand_response_events"),
        reached=_failpoint(stores),
        alerts=stores.alerts(),
        dead_letters=stores.dead_letters(),
        clock=stores.clock,
    )
    await run_again_when_readable(relay.run, stop)
    await queue.aclose()


async def _schedule(stores: Stores, stop: asyncio.Event) -> None:
    from adapters.postgres.operations.database_server import PostgresDatabaseServer
    from interfaces.bootstrap.backup.backups import backup_monitor
    from interfaces.bootstrap.secrets import log_references
    from interfaces.workers.loops.side_task import run_side_task
    from interfaces.workers.schedule.blocked_dispatch_review import BlockedDispatchReview
    from interfaces.workers.schedule.dead_letter_monitor import DeadLetterMonitor
    from interfaces.workers.schedule.failover_monitor import FailoverMonitor
    from interfaces.workers.schedule.forecast_monitor import ForecastMonitor

    read_models, locks = stores.read_models(), locks_of(stores)
    dead_letters = DeadLetterMonitor(
        letters=stores.dead_letters(),
        alerts=stores.alerts(),
        clock=stores.clock,
        sla_s=stores.settings.dead_letter_sla_s,
    )
    forecasts = ForecastMonitor(
        dr_events=read_models.dr_events,
        facilities=read_models.facilities,
        review=BlockedDispatchReview(
            read_models.dispatches, stores.forecasts, stores.bus, stores.clock, _failpoint(stores)
        ),
        book=stores.forecasts,
        alerts=stores.alerts(),
        clock=stores.clock,
    )
    failover = FailoverMonitor(
        server=PostgresDatabaseServer(stores.pool),
        dr_events=read_models.dr_events,
        alerts=stores.alerts(),
        clock=stores.clock,
    )
    checks = [
        dead_letters.periodic,
        forecasts.periodic,
        reading_monitor(stores).periodic,
        failover.periodic,
        lost_work.webhook_queue_monitor(stores).periodic,
        lost_work.recovery_monitor(stores).periodic,
        lost_work.batch_monitor(stores).periodic,
        lost_work.alert_expiry(stores).periodic,
        heartbeat_monitor(stores).periodic,
        rollup_monitor(stores).periodic,
        position_monitor(stores).periodic,
        replication_monitor(stores).periodic,
        lost_work.idempotency_expiry(stores).periodic,
    ]
    checks += [one.periodic for one in (telemetry_retention(stores), backup_monitor(stores)) if one]
    side_tasks: dict[str, Callable[[asyncio.Event], Awaitable[None]]] = {
        "secret references": lambda _: asyncio.to_thread(log_references, stores),
        "telemetry lag monitor": partial(watch_lag, stores, locks),
        "lost work sweeper": partial(lost_work.sweep_lost_work, stores, locks),
    }
    side_tasks |= {check.name: partial(check.run, locks=locks) for check in checks}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_deadlines(stores, locks).run(stop), name="schedule")
        for name, run in side_tasks.items():
            guarded = run_side_task(run, stop, name=name, alerts=stores.alerts(), clock=stores.clock)
            tasks.create_task(guarded, name=name)


def _deadlines(stores: Stores, locks: Locks) -> Schedule:
    from interfaces.workers.schedule.schedule import KINDS, MOST_PLANS, PLANS, Schedule

    due = stores.read_models().deadlines.due
    return Schedule(
        due=partial(due, kinds=KINDS),
        plans_due=partial(due, kinds=PLANS, limit=MOST_PLANS),
        bus=stores.bus,
        clock=stores.clock,
        locks=locks,
        reached=_failpoint(stores),
        alerts=stores.alerts(),
    )


async def run_notify(
    stores: Stores,
    stop: asyncio.Event,
    *,
    wrap: Callable[[UtilityNotifier], UtilityNotifier] = lambda notifier: notifier,
) -> None:
    """Run until `stop` is set. Tests wrap the notifier."""
    async with delivering_alerts(stores, stop):  # before the work queue: alerts are told while NATS is away
        queue = await _work_queue(stores, "notify")
        await notify_worker(stores, queue, wrap, reached=_failpoint(stores)).run(stop)
        await queue.aclose()


async def _project(stores: Stores, stop: asyncio.Event) -> None:
    from adapters.postgres.coordination.lock_balance import LockBalance
    from adapters.postgres.read_model.projector import Projector
    from interfaces.bootstrap.ledger import ledger_writer
    from interfaces.workers.project import project
    from interfaces.workers.project.log_follower import LogFollower
    from projections.registry import PROJECTIONS

    projector = partial(
        Projector,
        dsn=stores.database_url,
        alerts=stores.alerts(),
        clock=stores.clock,
        balance=LockBalance("projection ", uuid4().hex[:8]),
    )
    loops: list[project.Loop] = [LogFollower(projector(projection)) for projection in PROJECTIONS]
    loops.append(LogFollower(ledger_writer(stores)))
    index = index_of_times(stores)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(project.run(loops=loops, stop=stop), name="project")
        tasks.create_task(index.run(stop), name=index.name)


async def _measure(stores: Stores, stop: asyncio.Event) -> None:
    from adapters.forecasting.calendar.public_holidays import RegionalHolidays
    from interfaces.workers.measure import measure

    measuring = measure.Measuring(
        due=partial(stores.read_models().deadlines.due, kinds=measure.KINDS),
        store=stores.events,
        telemetry=stores.telemetry(),
        bus=stores.bus,
        clock=stores.clock,
        alerts=stores.alerts(),
        regression=regression_source(stores),
        public_holidays=RegionalHolidays(),
    )
    others: list[measure.MeasurementPass] = [remeasuring(stores), settling(stores, _failpoint(stores))]
    await measure.run(
        measuring=measuring, others=others, seldom=[sealing(stores)], locks=locks_of(stores), stop=stop
    )


def _failpoint(stores: Stores) -> Callable[[str, str], None]:
    return failpoint(stores.settings.failpoint, stores.settings.failpoint_once_file)


WORKERS: dict[str, Run] = {
    "relay": _relay,
    "schedule": _schedule,
    "dispatch": run_dispatch,
    "notify": run_notify,
    "measure": _measure,
    "project": _project,
    "ingest": run_ingest,
    "aggregate": run_aggregate,
    "archive": run_archive,
    "forecast": run_forecast,
}
"""Worker -> what runs it. `web` has an event loop of its own and is wired in interfaces.bootstrap.web."""
