"""Decisions of a dispatch as data: the domain events to record, in order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from domain.dispatch import command_events
from domain.dispatch.state import DispatchState, Phase, ZonePlan
from domain.event_sourcing.aggregate import Decision, pending

DispatchDecision: TypeAlias = Decision[DispatchState, None]


def zones_in_order(state: DispatchState) -> list[ZonePlan]:
    """The zones of the plan, sorted by zone id."""
    return [state.zones[zone_id] for zone_id in sorted(state.zones)]


def command_requests(
    state: DispatchState, zones: Iterable[ZonePlan], phase: Phase, *, not_after: datetime | None
) -> DispatchDecision:
    """The request to command each zone, recorded before anything is sent."""
    for zone in zones:
        yield pending(
            command_events.BmsCommandRequested, command=state.next_command(zone, phase, not_after=not_after)
        )
