"""Decisions of a dispatch as data: what is to be recorded, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from domain.dispatch import command_events
from domain.dispatch.state import DispatchState, Phase, ZonePlan
from domain.event_sourcing.aggregate import DomainEvent

Fact = tuple[type[DomainEvent], dict[str, Any]]
"""A domain event to record, and what it states."""


def zones_in_order(state: DispatchState) -> list[ZonePlan]:
    return [state.zones[zone_id] for zone_id in sorted(state.zones)]


def requests(
    state: DispatchState, zones: Iterable[ZonePlan], phase: Phase, *, not_after: datetime | None
) -> Iterator[Fact]:
    """The intent to command each zone, recorded before anything is sent."""
    for zone in zones:
        yield (
            command_events.BmsCommandRequested,
            {"command": state.next_command(zone, phase, not_after=not_after)},
        )
