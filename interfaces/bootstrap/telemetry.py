"""Wiring of where telemetry is kept: which store, for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from application.ports.shared_cache import CurrentCache
    from application.ports.telemetry.store import TelemetryStore
    from application.telemetry.store_health import TelemetryHealth
    from interfaces.bootstrap.stores import Stores
    from interfaces.settings.settings import Settings
    from interfaces.workers.schedule.retention import Retention
    from interfaces.workers.schedule.rollup_monitor import SettlingWatch


def current_cache(stores: Stores) -> CurrentCache | None:
    """For one event loop; None where the settings name no cache."""
    from adapters.redis.shared_cache import RedisCurrentCache

    url = stores.settings.redis_url
    return None if url is None else RedisCurrentCache(url)


@asynccontextmanager
async def watched_telemetry(
    stores: Stores, process: str, *, keeps_cache_warm: bool = False, health: TelemetryHealth | None = None
) -> AsyncIterator[TelemetryStore]:
    """The store with its calls watched: alerts and metrics tell how `process` gets on with it."""
    from application.telemetry.current_values import WriteThrough
    from application.telemetry.store_health import TelemetryHealth, WatchedTelemetryStore
    from interfaces.workers.loops.telemetry_metrics import show_health
    from interfaces.workers.loops.telemetry_monitor import TelemetryWatch

    store, health, stop = stores.telemetry(), health or TelemetryHealth(), asyncio.Event()
    show_health(health, process)
    cache = current_cache(stores) if keeps_cache_warm else None
    through = None if cache is None else WriteThrough(store, stores.clock, cache)
    watch = TelemetryWatch(health=health, alerts=stores.alerts(), clock=stores.clock, process=process)
    beside = [asyncio.create_task(watch.run(stop), name="telemetry watch")]
    if through is not None:
        beside.append(asyncio.create_task(through.run(stop), name="warm cache"))
    try:
        if through is None:
            yield WatchedTelemetryStore(store, health)
        else:
            yield WatchedTelemetryStore(store, health, through.note)
    finally:
        stop.set()
        await asyncio.gather(*beside)


def serve_telemetry_metrics(settings: Settings) -> int | None:
    """What this ingest or aggregate process knows of telemetry: the port, None where it is not served."""
    from prometheus_client import REGISTRY

    from interfaces.workers.dispatch.metrics import serve_metrics

    bind = settings.telemetry_metrics_bind
    return None if bind is None else serve_metrics(REGISTRY, bind)


def settling_watch(stores: Stores) -> SettlingWatch:
    from adapters.postgres.coordination.session_locks import AdvisoryLocks
    from adapters.postgres.telemetry.rollups.lag import PostgresSettlingLag
    from interfaces.workers.schedule.rollup_monitor import SettlingWatch

    return SettlingWatch(
        lag=PostgresSettlingLag(stores.pool),
        alerts=stores.alerts(),
        clock=stores.clock,
        locks=AdvisoryLocks(stores.database_url),
    )


async def watch_lag(stores: Stores, stop: asyncio.Event) -> None:
    """Until `stop`; the log may come later. Without an address of one nothing is watched."""
    import nats

    from adapters.nats.raw_log import NatsRawLog
    from adapters.nats.server_list import servers_of
    from adapters.postgres.coordination.session_locks import AdvisoryLocks
    from interfaces.bootstrap.raw_archive import clock_time
    from interfaces.workers.schedule.telemetry_lag_monitor import LagWatch

    settings = stores.settings
    if settings.nats_url is None:
        return
    connecting = asyncio.ensure_future(
        nats.connect(servers_of(str(settings.nats_url)), name="lag watch", max_reconnect_attempts=-1)
    )
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            return
        client = connecting.result()
        watch = LagWatch(
            log=NatsRawLog(client, clock_time=clock_time(settings)),
            alerts=stores.alerts(),
            clock=stores.clock,
            locks=AdvisoryLocks(stores.database_url),
        )
        try:
            await watch.run(stop)
        finally:
            await client.close()
    finally:
        connecting.cancel()
        stopping.cancel()
        await asyncio.gather(connecting, stopping, return_exceptions=True)


def telemetry_retention(stores: Stores) -> Retention | None:
    """None where the store lets go of what is old by itself."""
    from adapters.postgres.coordination.session_locks import AdvisoryLocks
    from adapters.postgres.telemetry.retention import PostgresTelemetryRetention
    from application.telemetry.retention_policy import RetentionPolicy
    from interfaces.bootstrap.raw_archive import archived_through
    from interfaces.workers.schedule.retention import Retention

    settings = stores.settings
    if settings.telemetry_store == "influx":
        return None
    return Retention(
        store=PostgresTelemetryRetention(stores.pool),
        policy=RetentionPolicy(
            raw_days=settings.telemetry_raw_days,
            rollup_days=settings.telemetry_rollup_days,
            restored_days=settings.telemetry_restored_days,
        ),
        alerts=stores.alerts(),
        clock=stores.clock,
        locks=AdvisoryLocks(stores.database_url),
        archived_through=archived_through(stores),
    )
