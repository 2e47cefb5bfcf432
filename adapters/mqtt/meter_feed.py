"""Meters' messages over MQTT 3.1.1 or 5, acknowledged once they are stored (ADR 0022)."""

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from typing import Any

import structlog

from adapters.mqtt import packets
from adapters.mqtt.broker import Broker, answered, brokers_at
from adapters.mqtt.connection import Connection
from adapters.mqtt.packets import Version
from adapters.tls import connection_problem
from application.ports.telemetry.meter_feed import MessageConsumer

_log = structlog.get_logger(__name__)

TOPIC_FILTER = "meters/+/+/readings"
CLIENT_ID = "gridproof-ingest"
_ACKNOWLEDGED_QOS = (1, 2)
_DISCONNECT_WITHIN_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _PAUSE_GROWS_BY = 0.1, 5.0, 1.5
"""With this factor a pause is about a third of the time for which the broker has been away."""


class MqttSubscriptionRefused(Exception):
    """The broker refuses this user's subscription to the meters' topics, or grants it without at-least-once
    delivery."""


class MqttMeterFeed:
    """The feed at `url` (`mqtt://user:password@host:port` or `mqtts://`), or at several with commas between them: after
    a failure the next one is tried.

    The client id is fixed and its session persistent: messages that arrive while no client is connected wait in the
    broker. With `share`, several sessions, each with its own client id, have the broker distribute the messages among
    them. `receive_maximum` limits the unacknowledged messages: MQTT 5 sends it to the broker; a broker of 3.1.1 has
    its own limit.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str = CLIENT_ID,
        topic_filter: str = TOPIC_FILTER,
        share: str | None = None,
        version: Version = "3.1.1",
        tls: ssl.SSLContext | None = None,
        receive_maximum: int = 8_192,
        connect_within_s: float = 10.0,
    ) -> None:
        self._brokers = deque(brokers_at(url, version=version, tls=tls, within_s=connect_within_s))
        """The first one is used, or tried next."""
        self._version: Version = version
        self._client_id = client_id
        self._topic_filter = topic_filter if share is None else f"$share/{share}/{topic_filter}"
        self._receive_maximum = receive_maximum
        self.connection: Connection | None = None
        """The current connection, for monitoring."""
        self.subscribed = asyncio.Event()
        """Set while connected and subscribed. The session persists afterwards, but must have been created once: before
        there is any subscriber, the broker acknowledges messages and drops them."""

    async def run(self, consumer: MessageConsumer, stop: asyncio.Event) -> None:
        """See the port. Raises MqttSubscriptionRefused; connection failures are retried until `stop`."""
        pause_s = _FIRST_PAUSE_S
        stopped = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                connection = Connection(consumer, self._version)
                try:
                    await self._connect(connection, stopped)
                    pause_s = _FIRST_PAUSE_S
                    await self._until_over(connection, stopped)
                except (OSError, TimeoutError) as error:
                    if not stop.is_set():
                        self._report(error, pause_s)
                    self._brokers.rotate(-1)
                finally:
                    self.subscribed.clear()
                    self.connection = None
                    connection.close()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause_s)
                pause_s = min(pause_s * _PAUSE_GROWS_BY, _LONGEST_PAUSE_S)
        finally:
            stopped.cancel()

    @property
    def _broker(self) -> Broker:
        return self._brokers[0]

    def _report(self, error: Exception, pause_s: float) -> None:
        _log.warning(
            "no MQTT connection, trying again",
            broker=self._broker.name,
            pause_s=pause_s,
            error=connection_problem(error),
        )

    async def _until_over(self, connection: Connection, stopped: "asyncio.Future[Any]") -> None:
        self.connection = connection
        self.subscribed.set()
        either: list[asyncio.Future[Any]] = [connection.over, stopped]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not connection.over.done():
            await connection.finish(_DISCONNECT_WITHIN_S)
        elif (error := connection.over.result()) is not None:
            raise error

    async def _connect(self, connection: Connection, stopped: "asyncio.Future[Any]") -> None:
        """Raises OSError (MqttRefused), TimeoutError, MqttSubscriptionRefused."""
        connecting = asyncio.ensure_future(self._connected(connection))
        either: list[asyncio.Future[Any]] = [connecting, stopped]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            connecting.cancel()
            with suppress(asyncio.CancelledError, OSError, TimeoutError):
                await connecting
            raise ConnectionAbortedError("stopped while connecting")
        connecting.result()

    async def _connected(self, connection: Connection) -> None:
        async with asyncio.timeout(self._broker.within_s):
            await self._broker.log_in(connection, self._client_id, receive_maximum=self._receive_maximum)
        connection.send(packets.subscribe(self._version, self._topic_filter))
        response = await self._granted(connection)
        if response.refusal is not None:
            raise MqttSubscriptionRefused(
                f"the broker refuses {self._topic_filter} ({response.refusal}); "
                "give this user the right to subscribe to it"
            )
        if response.code not in _ACKNOWLEDGED_QOS:
            raise MqttSubscriptionRefused(
                f"the broker grants {self._topic_filter} at QoS {response.code}, with which messages are lost "
                "when this process ends; allow QoS 1 there (in Mosquitto max_qos 1 or 2)"
            )
        _log.info(
            "MQTT connected", broker=self._broker.name, version=self._version, granted_qos=response.code
        )

    async def _granted(self, connection: Connection) -> packets.BrokerResponse:
        """The response may be behind messages for which there is no room; then it waits for those."""
        while True:
            try:
                async with asyncio.timeout(self._broker.within_s):
                    return await answered(connection, connection.suback)
            except TimeoutError:
                if not connection.is_paused:
                    raise
