"""Domain events to and from their stored form: typed JSON by msgspec, one cached decoder per topic.

The stream's id and version are columns of their own, so the stored JSON leaves them out.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import Mapper, MapperDeserialisationError, StoredEvent
from eventsourcing.utils import get_topic, resolve_topic

from domain.event_sourcing import DomainEvent
from domain.snapshot import Snapshot

Stored = DomainEvent | Snapshot
_ENCODER = msgspec.json.Encoder()


class UnreadableDomainEvent(MapperDeserialisationError):
    """This release cannot decode a stored domain event."""


class MsgspecMapper(Mapper[UUID]):
    """Set by MAPPER_TOPIC; used by eventsourcing wherever it stores or loads."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=get_topic(type(domain_event)),
            state=encode_state(domain_event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return decode_stored(
            stored_event.topic,
            stored_event.originator_id,
            stored_event.originator_version,
            stored_event.state,
        )


def encode_state(domain_event: Stored) -> bytes:
    """The JSON of a domain event without its place, which stands in its first two fields."""
    return b"{" + _ENCODER.encode(domain_event).split(b",", 2)[2]


def decode_stored(topic: str, originator_id: UUID | str, originator_version: int, state: bytes) -> Stored:
    """The domain event or snapshot of a stored row. Raises UnreadableDomainEvent."""
    place = b'{"originator_id":"%s","originator_version":%d,' % (
        str(originator_id).encode(),
        originator_version,
    )
    try:
        decoded: Stored = _decoder_of(topic).decode(place + state[1:])
    except Exception as error:
        raise UnreadableDomainEvent(
            f"{topic}, version {originator_version} of stream {originator_id}: {error}"
        ) from error
    return decoded


def decode_domain_event(
    topic: str, originator_id: UUID | str, originator_version: int, state: bytes
) -> DomainEvent:
    """The domain event of a row of the log. Raises UnreadableDomainEvent."""
    decoded = decode_stored(topic, originator_id, originator_version, state)
    if not isinstance(decoded, DomainEvent):
        raise UnreadableDomainEvent(f"{topic} is no domain event")
    return decoded


@cache
def _decoder_of(topic: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(resolve_topic(topic))
