"""The handover of the embedded broker's ingest session to one with a drawn client id (ADR 0066)."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing, closing
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
"""For one attempt, the first of which delays the workers. What it has drained is drained; the next one goes on."""
AGAIN_AFTER_S = 30.0
_CHECK_EVERY_S = 0.1
_STOP_WITHIN_S = 10.0


class IngestHandover:
    """Drains and deletes the session that earlier releases had in this data folder, if there is one.

    The new session is made first: from then on the broker keeps every message for it, so what reaches the old one
    later is there twice, and is stored once. As long as the old one exists, what nobody takes from it fills the bound
    of messages that wait, and at the end no meter is acknowledged: so a handover that fails is tried again.
    """

    def __init__(
        self, settings: Settings, servers: EmbeddedServers, *, again_after_s: float = AGAIN_AFTER_S
    ) -> None:
        self._settings = settings
        self._servers = servers
        self._again_after_s = again_after_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Try it, and go on in a thread where it fails, until it succeeds or `stop`."""
        if self._settings.mqtt_client_id != self._servers.ingest_client_id or self._is_done():
            return
        self._thread = threading.Thread(target=self._try_again, name="ingest handover", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the attempts; idempotent. What is not handed over yet is at the next start."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_WITHIN_S)
            self._thread = None

    def _try_again(self) -> None:
        while not self._stopping.wait(self._again_after_s):
            if self._is_done():
                return

    def _is_done(self) -> bool:
        former = self._servers.former_ingest_session
        if former is None:
            return True
        try:
            with closing(open_stores(self._settings, pool_size=2)) as stores:
                asyncio.run(self._hand_over_unless_stopped(stores, former))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the workers must go on
            if not self._stopping.is_set():
                log.warning(
                    "the old ingest session is kept, and fills the disk of the broker; it will be tried again",
                    why=repr(error),
                    pause_s=self._again_after_s,
                )
            return False
        self._servers.forget_former_ingest_session()
        log.info("the old ingest session is drained and deleted", session=former)
        return True

    async def _hand_over_unless_stopped(self, stores: Stores, former: str) -> None:
        work = asyncio.create_task(_hand_over(stores, former))
        while not work.done() and not self._stopping.is_set():
            await asyncio.wait([work], timeout=_CHECK_EVERY_S)
        work.cancel()
        await work


async def _hand_over(stores: Stores, former: str) -> None:
    from adapters.mqtt import TOPIC_FILTER, MqttMeterFeed, delete_session
    from adapters.nats.connection import connect
    from adapters.nats.mqtt_sessions import MqttSessions

    settings = stores.settings
    client = await connect(str(settings.nats_url), name="ingest handover", keep_trying=False)
    try:
        async with asyncio.timeout(WITHIN_S):
            sessions = MqttSessions(client, TOPIC_FILTER)
            await MqttMeterFeed(str(settings.mqtt_url), client_id=settings.mqtt_client_id).create_session()
            if not await sessions.consumers(settings.mqtt_client_id):
                raise RuntimeError("this nats-server names the consumers of a session in another way")
            if consumers := await sessions.consumers(former):
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
    """Put what waits in the session into the telemetry log, as the ingest worker does, which may run meanwhile."""
    from adapters.mqtt import MqttMeterFeed
    from adapters.postgres.coordination.exclusive_lock import PostgresExclusiveLock, exclusive_session
    from interfaces.workers.ingest import ingest
    from interfaces.workers.ingest.sessions import IngestSession

    lock = f"ingest {former}"
    async with aclosing(exclusive_session(stores.database_url, lock)) as locks:
        await ingest.run(
            sessions=[
                IngestSession(
                    name=former,
                    feed=MqttMeterFeed(str(stores.settings.mqtt_url), client_id=former),
                    lock=PostgresExclusiveLock(locks, lock),
                )
            ],
            stream=telemetry_log(client, stores.settings),
            meters=stores.listed_meters(),
            alerts=stores.alerts(),
            clock=stores.clock,
            stop=stop,
        )
