"""Lossless MQTT publishing: every message stays in the outbox until the broker has acknowledged it.

gmqtt drops its queue when it reconnects without a session, and may then refuse to publish forever. So its reconnect is
disabled: after a lost connection a new client is made, and unacknowledged messages are sent again (QoS 1: at least
once).
"""

import asyncio
import contextlib
import logging
from collections import deque
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import gmqtt
from gmqtt.mqtt.constants import MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError
from gmqtt.storage import PersistentStorage

log = logging.getLogger(__name__)
gmqtt_log = logging.getLogger(f"{__name__}.gmqtt")
# It logs the disabled reconnect as an error; this is intended.
gmqtt_log.setLevel(logging.CRITICAL)

Outgoing = tuple[str, bytes]

NEVER_RECONNECT = -2
"""gmqtt compares the count of failures with this: -1 means for ever, 0 still tries once."""
CONNECT_DEADLINE_S = 5.0
RETRY_AFTER_S = 0.2
GOODBYE_DEADLINE_S = 1.0


class _Unacknowledged(PersistentStorage):  # type: ignore[misc]  # gmqtt has no types
    """gmqtt's store of in-flight packets, extended by the message of each packet."""

    def __init__(self, changed: asyncio.Event) -> None:
        super().__init__()
        self._changed = changed
        self.sending: Outgoing | None = None
        self.in_flight: dict[int, Outgoing] = {}

    def push_message(self, mid: int, raw_package: bytes) -> None:
        super().push_message(mid, raw_package)
        if self.sending is not None:
            self.in_flight[mid] = self.sending

    def remove_message_by_mid(self, mid: int) -> None:
        super().remove_message_by_mid(mid)
        self.in_flight.pop(mid, None)
        self._changed.set()


class MqttOutbox:
    """A bounded queue of messages and the task that delivers it. When full, the oldest is dropped and counted."""

    def __init__(self, url: str, client_id: str, *, capacity: int = 50_000, window: int = 500) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 1883
        self._user, self._password = parts.username, parts.password
        self._client_id = client_id
        self._window = window
        self._queue: deque[Outgoing] = deque()
        self._in_flight: dict[int, Outgoing] = {}
        self._capacity = capacity
        self._changed = asyncio.Event()
        self.dropped = 0
        self.connections = 0

    def put(self, topic: str, payload: bytes) -> None:
        """Queue one message without blocking."""
        if len(self._queue) >= self._capacity:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append((topic, payload))
        self._changed.set()

    @property
    def waiting(self) -> int:
        """The number of messages not yet sent to the broker."""
        return len(self._queue)

    @property
    def unacknowledged(self) -> int:
        """The messages in the outbox, and those that were sent and that the broker has not acknowledged."""
        return len(self._queue) + len(self._in_flight)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                await self._deliver_over_one_connection()
            except (OSError, TimeoutError, MQTTConnectError) as error:
                log.warning("no MQTT connection to %s:%s: %s", self._host, self._port, error)
            await asyncio.sleep(RETRY_AFTER_S)

    async def _deliver_over_one_connection(self) -> None:
        storage = _Unacknowledged(self._changed)
        self._in_flight = storage.in_flight
        client: Any = gmqtt.Client(
            self._client_id, clean_session=True, persistent_storage=storage, logger=gmqtt_log
        )
        client.set_config({"reconnect_retries": NEVER_RECONNECT})
        if self._user is not None:
            client.set_auth_credentials(self._user, self._password)
        lost = asyncio.Event()
        client.on_disconnect = partial(self._wake, lost)
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await client.connect(self._host, self._port, version=MQTTv311, keepalive=30)
            self.connections += 1
            await self._pump(client, storage, lost)
        finally:
            self._queue.extendleft(reversed(storage.in_flight.values()))
            self._in_flight = {}
            # Without a connection there is nothing to disconnect from.
            with contextlib.suppress(OSError, AttributeError, TimeoutError):
                async with asyncio.timeout(GOODBYE_DEADLINE_S):
                    await client.disconnect()

    def _wake(self, lost: asyncio.Event, *_: object) -> None:
        lost.set()
        self._changed.set()

    async def _pump(self, client: Any, storage: _Unacknowledged, lost: asyncio.Event) -> None:
        while not lost.is_set():
            self._changed.clear()
            while self._queue and len(storage.in_flight) < self._window and not lost.is_set():
                storage.sending = self._queue.popleft()
                topic, payload = storage.sending
                client.publish(topic, payload, qos=1)
            await self._changed.wait()
