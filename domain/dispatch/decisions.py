"""Decisions of a dispatch as data: the domain events to record, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from domain.dispatch import command_events
from domain.dispatch.state import DispatchState, Phase, ZonePlan
from domain.event_sourcing.aggregate import DomainEvent

PendingEvent = tuple[type[DomainEvent], dict[str, Any]]
"""The class of a domain event to record, and its fields."""


def zones_in_order(state: DispatchState) -> list[ZonePlan]:
    """The zones of the plan, sorted by zone id."""
    return [state.zones[zone_id] for zone_id in sorted(state.zones)]


def command_requests(
    state: DispatchState, zones: Iterable[ZonePlan], phase: Phase, *, not_after: datetime | None
) -> Iterator[PendingEvent]:
    """The request to command each zone, recorded before anything is sent."""
    for zone in zones:
        yield (
            command_events.BmsCommandRequested,
            {"command": state.next_command(zone, phase, not_after=not_after)},
        )
