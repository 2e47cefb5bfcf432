"""The handover of the embedded broker's ingest session to one with a drawn client id (ADR 0066)."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import structlog

from interfaces.bootstrap.stores import open_stores
from interfaces.bootstrap.telemetry_stream import telemetry_log

if TYPE_CHECKING:
    from nats.aio.client import Client

    from adapters.embedded import EmbeddedServers
    from adapters.nats.mqtt_sessions import MqttSessions
    from interfaces.bootstrap.stores import Stores
    from interfaces.settings.settings import Settings

log = structlog.get_logger("ingest handover")
WITHIN_S = 120.0
"""For all of it. A session that has more waiting is drained further at the next start."""
_CHECK_EVERY_S = 0.1


def hand_over_ingest_session(settings: Settings, servers: EmbeddedServers) -> None:
    """Drain and delete the session that earlier releases had in this data folder, if there is one.

    The new session is made first: from then on the broker keeps every message for it, so what reaches the old one
    later is there twice, and is stored once. If it fails, it is tried again at the next start, and nothing is lost.
    """
    former = servers.former_ingest_session
    if former is None or settings.mqtt_client_id != servers.ingest_client_id:
        return
    with closing(open_stores(settings, pool_size=2)) as stores:
        try:
            asyncio.run(_hand_over(stores, former))
        except Exception as error:  # noqa: BLE001 - the workers must start all the same
            log.warning("the old ingest session is kept until the next start", why=repr(error))
            return
    servers.forget_former_ingest_session()
    log.info("the old ingest session is drained and deleted", session=former)


async def _hand_over(stores: Stores, former: str) -> None:
    from adapters.mqtt import TOPIC_FILTER, MqttMeterFeed, delete_session
    from adapters.nats.connection import connect
    from adapters.nats.mqtt_sessions import MqttSessions

    settings = stores.settings
    client = await connect(str(settings.nats_url), name="ingest handover", keep_trying=False)
    try:
        async with asyncio.timeout(WITHIN_S):
            sessions = MqttSessions(client, TOPIC_FILTER)
            consumers = await sessions.consumers()
            await MqttMeterFeed(str(settings.mqtt_url), client_id=settings.mqtt_client_id).create_session()
            if consumers:
                stop = asyncio.Event()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_drain(stores, client, former, stop))
                    tasks.create_task(_stop_when_drained(sessions, consumers, stop))
            await delete_session(str(settings.mqtt_url), client_id=former)
    finally:
        await client.close()


async def _stop_when_drained(sessions: MqttSessions, consumers: set[str], stop: asyncio.Event) -> None:
    try:
        end = await sessions.end()
        while not await sessions.are_drained(consumers, end):  # noqa: ASYNC110 - the broker raises no event
            await asyncio.sleep(_CHECK_EVERY_S)
    finally:
        stop.set()


async def _drain(stores: Stores, client: Client, former: str, stop: asyncio.Event) -> None:
    """Put what waits in the session into the telemetry log, as the ingest worker does."""
    from adapters.mqtt import MqttMeterFeed
    from adapters.postgres.coordination.exclusive_lock import PostgresExclusiveLock
    from interfaces.workers.ingest import ingest
    from interfaces.workers.ingest.sessions import IngestSession

    await ingest.run(
        sessions=[
            IngestSession(
                name=former,
                feed=MqttMeterFeed(str(stores.settings.mqtt_url), client_id=former),
                lock=PostgresExclusiveLock(stores.database_url, "ingest"),
            )
        ],
        stream=telemetry_log(client, stores.settings),
        meters=stores.listed_meters(),
        alerts=stores.alerts(),
        clock=stores.clock,
        stop=stop,
    )
