"""Wiring of what watches: callbacks to utilities, the monitors, and messages of alerts to people.

What they watch runs in other processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from adapters.callback import HttpUtilityNotifier
from adapters.postgres.coordination.named_locks import AdvisoryLocks
from adapters.postgres.coordination.session_locks import LockSession
from adapters.postgres.coordination.work_holder import PostgresWorkHolder
from adapters.postgres.event_store.log_listener import LogListener
from application.callback import CallbackCalls
from application.ports.callback import UtilityNotifier
from interfaces.bootstrap.health.alerts import delivering_alerts
from interfaces.bootstrap.ledger import NewestCheckpoint, ledger_store
from interfaces.bootstrap.monitors import monitors_of, watch_lag
from interfaces.bootstrap.operations import failpoint_of
from interfaces.bootstrap.secrets import callback_secrets, log_references
from interfaces.bootstrap.stores import Stores
from interfaces.bootstrap.tls import http_tls
from interfaces.workers.loops.side_task import run_side_task
from interfaces.workers.watch.notify import NotifyWorker


async def run(
    stores: Stores,
    stop: asyncio.Event,
    *,
    wrap: Callable[[UtilityNotifier], UtilityNotifier] = lambda notifier: notifier,
) -> None:
    """Run until `stop` is set. Tests wrap the notifier."""
    session = LockSession(stores.database_url)
    locks = AdvisoryLocks(session)
    side_tasks: dict[str, Callable[[asyncio.Event], Awaitable[None]]] = {
        "secret references": lambda _: asyncio.to_thread(log_references, stores),
        "telemetry lag monitor": partial(watch_lag, stores, locks),
    }
    side_tasks |= {check.name: partial(check.run, locks=locks) for check in monitors_of(stores)}
    try:
        async with delivering_alerts(stores, locks, stop), asyncio.TaskGroup() as tasks:
            for name, run_it in side_tasks.items():
                guarded = run_side_task(run_it, stop, name=name, alerts=stores.alerts(), clock=stores.clock)
                tasks.create_task(guarded, name=name)
            callbacks = _deliver_callbacks(stores, session, wrap, stop)
            tasks.create_task(callbacks, name="callbacks")
    finally:
        await session.aclose()


async def _deliver_callbacks(
    stores: Stores,
    session: LockSession,
    wrap: Callable[[UtilityNotifier], UtilityNotifier],
    stop: asyncio.Event,
) -> None:
    """Run until `stop` is set. `session` holds the rows of the callbacks that are being sent."""
    signal = LogListener(stores.database_url, "demand_response_events")
    calls = _calls(stores, wrap)
    worker = NotifyWorker(
        rows=stores.open_work(),
        holder=PostgresWorkHolder(session),
        signal=signal,
        event_log=stores.events,
        calls=calls,
    )
    try:
        await worker.run(stop)
    finally:
        await calls.notifier.aclose()
        await signal.aclose()


def _calls(stores: Stores, wrap: Callable[[UtilityNotifier], UtilityNotifier]) -> CallbackCalls:
    notifier: UtilityNotifier = HttpUtilityNotifier(
        clock=stores.decision_clock,
        secret_of=callback_secrets(stores),
        newest_checkpoint=NewestCheckpoint(ledger_store(stores)),
        allow_private=stores.settings.allow_private_callbacks,
        ports=stores.settings.callback_port_numbers,
        tls=http_tls(stores.settings),
    )
    return CallbackCalls(
        store=stores.events,
        event_log=stores.events,
        rows=stores.open_work(),
        bus=stores.bus,
        notifier=wrap(notifier),
        addresses=stores.callback_addresses(),
        clock=stores.clock,
        reached=failpoint_of(stores),
    )
