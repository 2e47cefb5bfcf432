"""The sessions of nats-server's MQTT listener, seen through JetStream: a subscription is a consumer of one stream."""

from __future__ import annotations

from collections.abc import Collection

from nats.aio.client import Client
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

STREAM = "$MQTT_msgs"
_PAGE = 256


class MqttSessions:
    """The persistent sessions that subscribe to `topic_filter`. Methods raise nats.errors.Error."""

    def __init__(self, client: Client, topic_filter: str) -> None:
        self._jetstream = client.jetstream()
        self._subject = f"{STREAM.partition('_')[0]}.msgs.{topic_filter.replace('/', '.').replace('+', '*')}"

    async def consumers(self) -> set[str]:
        """The consumers of all these sessions; none where no MQTT client ever connected."""
        return {info.name for info in await self._infos()}

    async def end(self) -> int:
        """The position of the newest message."""
        try:
            return (await self._jetstream.stream_info(STREAM)).state.last_seq
        except NotFoundError:
            return 0

    async def are_drained(self, consumers: Collection[str], end: int) -> bool:
        """Whether the clients that are connected now, one at least, have acknowledged all up to `end` that waited for
        `consumers`; a consumer that is not among them is new, and nothing waited for it."""
        connected = [one for one in await self._infos() if one.push_bound]
        return bool(connected) and all(
            one.name not in consumers or _acknowledged_to(one) >= end for one in connected
        )

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


def _acknowledged_to(consumer: ConsumerInfo) -> float:
    if not consumer.num_pending and not consumer.num_ack_pending:
        return float("inf")
    return consumer.ack_floor.stream_seq if consumer.ack_floor is not None else 0
