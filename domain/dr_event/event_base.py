"""The base class of a DR event's domain events."""

from __future__ import annotations

from typing import ClassVar

from domain.event_sourcing.aggregate import Aggregate


class Event(Aggregate.Event, frozen=True, kw_only=True):
    """The base of every domain event of a DR event."""

    TOPIC: ClassVar[str] = "dr-event.event"
