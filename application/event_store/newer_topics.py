"""Topics that the release before this one cannot read, and the older form of their domain events.

During an upgrade, processes of two releases read one log. A topic in NEWER_TOPICS is written only after an operator
has said that no older process runs (`gridproof migrate --contract`, ADR 0009). Until then a domain event is stored in
its older form, where DOWNCASTERS has one; otherwise the save is refused.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from eventsourcing.persistence import StoredEvent

from application.event_store.upcasters import Change
from application.ports.event_store.event_store import NewerTopicRefused

WRITTEN_FROM = "0.2"
"""The release that every process must have before NEWER_TOPICS are written."""


class NotExpressible(ValueError):
    """The older form has no place for what the domain event says; the message says for what."""


class Downcaster(NamedTuple):
    """From a topic to the older one. `change` is pure, works on plain JSON values, and raises NotExpressible."""

    to: str
    change: Change


NEWER_TOPICS: frozenset[str] = frozenset({"facility.location-agreed.v1"})
DOWNCASTERS: dict[str, Downcaster] = {}
"""Newer topic -> its conversion to the older one, which its upcaster (application/event_store/upcasters.py) reads."""


def storable(stored: StoredEvent, *, with_newer_topics: bool) -> StoredEvent:
    """The form in which a domain event may be stored now. Raises NewerTopicRefused."""
    if with_newer_topics or stored.topic not in NEWER_TOPICS:
        return stored
    downcaster = DOWNCASTERS.get(stored.topic)
    if downcaster is None:
        raise _refused(f"releases before {WRITTEN_FROM} do not know {stored.topic}")
    try:
        older = downcaster.change(msgspec.json.decode(stored.state))
    except NotExpressible as error:
        raise _refused(f"releases before {WRITTEN_FROM} cannot read it: {error}") from error
    return StoredEvent(
        originator_id=stored.originator_id,
        originator_version=stored.originator_version,
        topic=downcaster.to,
        state=msgspec.json.encode(older),
    )


def has_older_form(stored: Iterable[StoredEvent]) -> bool:
    """Whether any of them was stored in the older form of a newer topic."""
    older_topics = {downcaster.to for downcaster in DOWNCASTERS.values()}
    return any(one.topic in older_topics for one in stored)


def _refused(reason: str) -> NewerTopicRefused:
    return NewerTopicRefused(
        f"{reason}, and one may still run; once every process is of release {WRITTEN_FROM} or newer, say so: "
        f"`gridproof migrate --contract {WRITTEN_FROM}`"
    )
