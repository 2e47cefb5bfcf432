"""Mapping of domain events to and from their stored form: typed JSON by msgspec, one cached decoder per
topic.

The stream's id and version are columns of their own, so the stored JSON omits them. A topic with an upcaster
is an older version (application/event_store/upcasters.py); the others are decoded directly into their class.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import Mapper, MapperDeserialisationError, StoredEvent
from eventsourcing.utils import TopicError, get_topic, resolve_topic

from application.event_store.upcasters import UPCASTERS, present_topic, upcast
from domain.event_sourcing.aggregate import DomainEvent
from domain.event_sourcing.decoders import json_decoder
from domain.event_sourcing.snapshot import Snapshot

Stored = DomainEvent | Snapshot
_ENCODER = msgspec.json.Encoder()


class UnreadableDomainEvent(MapperDeserialisationError):
    """This release cannot decode a stored domain event."""


class UnknownTopic(UnreadableDomainEvent):
    """No class of this release has that topic: a newer release wrote it."""


class _Recorded(msgspec.Struct):
    """The time field that a stored domain event of any release has."""

    recorded_at: datetime | None = None


class MsgspecMapper(Mapper[UUID]):
    """Set by MAPPER_TOPIC; used by eventsourcing wherever it stores or loads."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        return to_stored_event(domain_event)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return decode_stored(
            stored_event.topic,
            stored_event.originator_id,
            stored_event.originator_version,
            stored_event.state,
        )


def to_stored_event(domain_event: Any) -> StoredEvent:
    """The row of a domain event or snapshot."""
    return StoredEvent(
        originator_id=domain_event.originator_id,
        originator_version=domain_event.originator_version,
        topic=get_topic(type(domain_event)),
        state=encode_state(domain_event),
    )


def encode_state(domain_event: Stored) -> bytes:
    """The JSON of a domain event without its first two fields, the stream's id and version."""
    return b"{" + _ENCODER.encode(domain_event).split(b",", 2)[2]


def decode_stored(topic: str, originator_id: UUID | str, originator_version: int, state: bytes) -> Stored:
    """The domain event or snapshot of a stored row. Raises UnreadableDomainEvent."""
    place = b'{"originator_id":"%s","originator_version":%d,' % (
        str(originator_id).encode(),
        originator_version,
    )
    try:
        decoded: Stored = _decoding(topic)(place + state[1:])
    except TopicError as error:
        raise UnknownTopic(
            f"{topic}, version {originator_version} of stream {originator_id}: this release does not know that topic, "
            "so a newer one wrote it; upgrade this process, and it goes on from here"
        ) from error
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


def recorded_at_of(state: bytes) -> datetime | None:
    """When a stored domain event was recorded, without decoding the rest; None where it has no time."""
    try:
        return json_decoder(_Recorded).decode(state).recorded_at
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


@cache
def _decoding(topic: str) -> Callable[[bytes], Any]:
    decoder = json_decoder(resolve_topic(present_topic(topic)))
    if topic not in UPCASTERS:
        return decoder.decode

    def decode_older(stored: bytes) -> Any:
        return decoder.decode(_ENCODER.encode(upcast(topic, msgspec.json.decode(stored))))

    return decode_older
