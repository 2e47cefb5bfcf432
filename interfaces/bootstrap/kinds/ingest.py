"""Wiring of the worker that takes the readings of meters over MQTT."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import uuid4

from adapters.mqtt import MqttMeterFeed
from adapters.nats.connection import connect
from adapters.nats.raw_log import NatsRawLog
from adapters.postgres.coordination.exclusive_lock import (
    PostgresExclusiveLock,
    PostgresLockHolders,
    exclusive_session,
)
from adapters.postgres.coordination.session_locks import LockSession
from interfaces.bootstrap.raw_archive import clock_time
from interfaces.bootstrap.stores import Stores
from interfaces.bootstrap.telemetry import mqtt_tls
from interfaces.bootstrap.telemetry_stream import follow_meters, oldest_reading, telemetry_log
from interfaces.settings.settings import Settings
from interfaces.workers.ingest import ingest
from interfaces.workers.ingest.sessions import IngestSession
from interfaces.workers.loops.side_task import run_side_task
from interfaces.workers.watch.telemetry_lag_monitor import show_lag

_SHARED = "ingest "
"""What the names of the locks begin with where several workers share the MQTT sessions."""


async def run(stores: Stores, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    client = await connect(str(stores.settings.nats_url), name="ingest")
    worker, alone = uuid4().hex[:8], stores.settings.mqtt_sessions == 1
    locks = exclusive_session(
        stores.database_url, "ingest" if alone else _SHARED, holder=None if alone else worker
    )
    sessions = _sessions(stores.settings, locks)
    raw_log = NatsRawLog(client, clock_time=clock_time(stores.settings))
    stream = telemetry_log(client, stores.settings, stores.listed_meters())
    beside = [
        asyncio.create_task(
            run_side_task(run, stop, name=name, alerts=stores.alerts(), clock=stores.clock), name=name
        )
        for name, run in (
            ("telemetry lag metric", partial(show_lag, raw_log, stores.clock)),
            ("telemetry log size", partial(follow_meters, stream, stores)),
        )
    ]
    try:
        await ingest.run(
            sessions=sessions,
            stream=stream,
            alerts=stores.alerts(),
            clock=stores.clock,
            meters=stores.listed_meters(),
            oldest=oldest_reading(stores.settings),
            stores_originals=stores.settings.telemetry_archive and stores.settings.telemetry_originals,
            shares=None if alone else PostgresLockHolders(locks, _SHARED),
            worker=worker,
            stop=stop,
        )
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await locks.aclose()
    await client.close()


def _sessions(settings: Settings, locks: LockSession) -> list[IngestSession]:
    """The MQTT sessions of the settings. Raises TlsFilesError."""
    alone = settings.mqtt_sessions == 1
    client_id = settings.mqtt_client_id
    # A session keeps its subscriptions: a single session must not have the name of a shared one.
    names = [client_id] if alone else [f"{client_id}-{n}" for n in range(settings.mqtt_sessions)]
    return [
        IngestSession(
            name="ingest" if alone else name,  # a drawn client id is not for logs
            feed=MqttMeterFeed(
                str(settings.mqtt_url),
                client_id=name,
                share=None if alone else client_id,
                version=settings.mqtt_version,
                tls=mqtt_tls(settings),
            ),
            lock=PostgresExclusiveLock(locks, "ingest" if alone else f"{_SHARED}{name}"),
        )
        for name in names
    ]
