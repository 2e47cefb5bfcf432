"""The sessions of nats-server's MQTT listener, seen through JetStream: a subscription is a consumer of one stream."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Collection

from nats.aio.client import Client
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

STREAM = "$MQTT_msgs"
_PAGE = 256
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_HASH_LENGTH = 8


class MqttSessions:
    """The persistent sessions that subscribe to `topic_filter`. Methods raise nats.errors.Error."""

    def __init__(self, client: Client, topic_filter: str) -> None:
        self._jetstream = client.jetstream()
        self._subject = f"{STREAM.partition('_')[0]}.msgs.{topic_filter.replace('/', '.').replace('+', '*')}"

    async def consumers(self, client_id: str | None = None) -> set[str]:
        """The consumers of the session of `client_id`, or of all sessions; none where no MQTT client ever
        connected."""
        prefix = "" if client_id is None else f"{_hash(client_id)}_"
        return {info.name for info in await self._infos() if info.name.startswith(prefix)}

    async def end(self) -> int:
        """The position of the newest message."""
        try:
            return (await self._jetstream.stream_info(STREAM)).state.last_seq
        except NotFoundError:
            return 0

    async def are_drained(self, consumers: Collection[str], end: int) -> bool:
        """Whether all messages up to `end` that waited for `consumers` are acknowledged."""
        infos = await self._infos()
        return all(_acknowledged_to(one) >= end for one in infos if one.name in consumers)

    async def _infos(self) -> list[ConsumerInfo]:
        found: list[ConsumerInfo] = []
        try:
            while page := await self._jetstream.consumers_info(STREAM, offset=len(found)):
                found.extend(page)
                if len(page) < _PAGE:
                    break
        except NotFoundError:
            return []
        return [one for one in found if one.config.filter_subject == self._subject]


def _hash(client_id: str) -> str:
    """With which nats-server begins the names of a session's consumers (getHash of its server/events.go)."""
    digest = hashlib.sha256(client_id.encode()).digest()[:_HASH_LENGTH]
    return "".join(_DIGITS[byte % len(_DIGITS)] for byte in digest)


def _acknowledged_to(consumer: ConsumerInfo) -> float:
    if not consumer.num_pending and not consumer.num_ack_pending:
        return float("inf")
    return consumer.ack_floor.stream_seq if consumer.ack_floor is not None else 0
