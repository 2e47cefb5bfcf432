"""Meters' messages over MQTT 3.1.1, acknowledged by hand.

Every connection has a gmqtt client of its own. gmqtt would otherwise reconnect by itself and let a handler that
began before acknowledge its old packet id on the new connection, where that id may be another message; here the
old client's acknowledgement goes to a closed socket and nowhere else.
"""

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import gmqtt
import structlog
from gmqtt.mqtt.constants import MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError

from application.ports.meter_feed import TakeMessage

_log = structlog.get_logger(__name__)

TOPIC_FILTER = "meters/+/+/readings"
CLIENT_ID = "gridproof-ingest"
_ACKNOWLEDGED, _QOS_REFUSED = 0, 0x80
_NEVER_RECONNECT = -2  # -1 is "for ever", and 0 still allows one
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class MqttSubscriptionRefused(Exception):
    """The broker does not let this user read the meters' topics."""


class _ExpectedHere(logging.Filter):
    """gmqtt complains that it may not reconnect, and that an unkept message's socket is closed: both are meant."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = str(record.msg)
        return "max number of failed connection" not in text and "WRITE TO CLOSED SOCKET" not in text


_gmqtt_log = logging.getLogger("gmqtt.meter_feed")
_gmqtt_log.addFilter(_ExpectedHere())
logging.getLogger("gmqtt.mqtt.protocol").addFilter(_ExpectedHere())


class MqttMeterFeed:
    """The feed at `url` (`mqtt://user:password@host:port` or `mqtts://`).

    The client id is fixed and its session persistent: what arrives while nobody is connected waits in the broker.
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str = CLIENT_ID,
        topic_filter: str = TOPIC_FILTER,
        tls: ssl.SSLContext | None = None,
        connect_within_s: float = 10.0,
    ) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "mqtts"
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or (8883 if secure else 1883)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._ssl: ssl.SSLContext | bool = (tls or ssl.create_default_context()) if secure else False
        self._client_id = client_id
        self._topic_filter = topic_filter
        self._connect_within_s = connect_within_s
        self.subscribed = asyncio.Event()
        """Set while connected and subscribed. The session outlives that, but must have been made once: what a
        meter sends before there is any subscriber, the broker acknowledges and drops."""

    async def run(self, take: TakeMessage, stop: asyncio.Event) -> None:
        """As the port says. Raises MqttSubscriptionRefused; connection failures are retried until `stop`."""
        pause_s = _FIRST_PAUSE_S
        while not stop.is_set():
            connection = _Connection(take)
            try:
                await self._connect(connection)
                pause_s = _FIRST_PAUSE_S
                self.subscribed.set()
                await connection.until_over(stop)
            except (OSError, TimeoutError, MQTTConnectError) as error:
                _log.warning("MQTT broker not reached, trying again", pause_s=pause_s, error=str(error))
            finally:
                self.subscribed.clear()
                await connection.close()
            if connection.had_no_room:
                _log.warning("no room for more meter messages, the broker keeps them", pause_s=pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _connect(self, connection: "_Connection") -> None:
        client = gmqtt.Client(
            self._client_id, clean_session=False, optimistic_acknowledgement=False, logger=_gmqtt_log
        )
        client.set_config({"reconnect_retries": _NEVER_RECONNECT})
        if self._user is not None:
            client.set_auth_credentials(self._user, self._password)
        connection.adopt(client)
        async with asyncio.timeout(self._connect_within_s):
            await client.connect(self._host, self._port, ssl=self._ssl, keepalive=20, version=MQTTv311)
            client.subscribe(self._topic_filter, qos=1)
            await connection.subscribed()


class _Connection:
    """One connection, from its client's making to its end."""

    def __init__(self, take: TakeMessage) -> None:
        self._take = take
        self._client: Any = None
        self._over = asyncio.Event()
        self._granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.had_no_room = False

    def adopt(self, client: Any) -> None:
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        self._client = client

    async def subscribed(self) -> None:
        granted = await self._granted
        if granted >= _QOS_REFUSED:
            raise MqttSubscriptionRefused(
                f"the broker refuses {TOPIC_FILTER}; give this user the right to subscribe to it"
            )
        _log.info("MQTT connected", granted_qos=granted)

    async def until_over(self, stop: asyncio.Event) -> None:
        """Until the connection breaks, there is no room for more, or `stop`."""
        waits = [asyncio.create_task(self._over.wait()), asyncio.create_task(stop.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def close(self) -> None:
        self._over.set()
        if self._client is not None and self._client._connection is not None:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._client.disconnect()

    async def _on_message(self, _client: Any, topic: str, payload: bytes, qos: int, _properties: Any) -> int:
        kept = False
        if not self._over.is_set():
            try:
                kept = await self._take(topic, payload)
            except Exception:  # noqa: BLE001 - logged and not acknowledged: the broker sends it again
                _log.exception("a meter message could not be taken", topic=topic)
        if not kept and qos > 0 and not self._over.is_set():
            # Not acknowledging one message while reading on would leave it behind: everything stops here,
            # and the broker sends what is unacknowledged to the next connection.
            self.had_no_room = True
            self._over.set()
            self._client._connection._transport.close()
        return _ACKNOWLEDGED

    def _on_disconnect(self, _client: Any, *_details: Any) -> None:
        self._over.set()
        if not self._granted.done():
            self._granted.set_exception(ConnectionResetError("the broker closed the connection"))

    def _on_subscribe(self, _client: Any, _mid: int, granted: tuple[int, ...], _properties: Any) -> None:
        if not self._granted.done():
            self._granted.set_result(min(granted[:1] or (_QOS_REFUSED,)))
