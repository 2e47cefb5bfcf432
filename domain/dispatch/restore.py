"""Restore of a curtailed building: minimum off times are respected, and the rebound of the load is spread;
pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from domain.dispatch import events
from domain.dispatch.decisions import DispatchDecision, command_requests, zones_in_order
from domain.dispatch.state import DispatchState, RestoreStep, ZonePlan
from domain.event_sourcing.aggregate import pending

LONGEST_SPREAD_S = 900
"""Upper limit of the spread, for any ramp: half of the time after which a BMS restores a zone by itself."""
Place = tuple[int, int]
"""(rank, count): the place of a facility in the order in which a batch is restored."""
AT_ONCE: Place = (0, 0)
"""No spread: only minimum off times delay a restore."""


def restore_steps(
    state: DispatchState, zones: Iterable[ZonePlan], *, released_at: datetime, place: Place = AT_ONCE
) -> list[RestoreStep]:
    """The earliest moment of each zone's restore.

    The zones of all facilities are spread evenly over their rebound ramp, in the order of the facilities.
    With `AT_ONCE` only the minimum off times delay a restore.
    """
    rank, count = place
    listed = list(zones)
    steps = []
    for index, zone in enumerate(listed):
        not_before = released_at
        if count:
            share = (rank + index / len(listed)) / count
            not_before += timedelta(seconds=round(min(zone.rebound_ramp_s, LONGEST_SPREAD_S) * share))
        since = state.curtailed_at.get(zone.zone_id)
        if since is not None:
            not_before = max(not_before, since + timedelta(seconds=zone.minimum_off_s))
        steps.append(RestoreStep(zone_id=zone.zone_id, not_before=not_before))
    return steps


def earliest_free(state: DispatchState, *, now: datetime) -> datetime:
    """The earliest moment at which the building can be free of this DR event if it is restored now.

    A zone whose commit is open, or about to be requested, is treated as curtailed now.
    """
    soon = state.status in {"prepared", "committing"} and state.left is None
    free_at = [now]
    for zone in state.zones.values():
        since = state.curtailed_at.get(zone.zone_id, now if soon else None)
        if since is not None:
            free_at.append(since + timedelta(seconds=zone.minimum_off_s))
    return max(free_at)


def last_ramp_at(state: DispatchState, *, released_at: datetime) -> datetime:
    """The moment by which every restore of the dispatch was to be requested, if its batch was released then."""
    ramp_s = max((min(zone.rebound_ramp_s, LONGEST_SPREAD_S) for zone in state.zones.values()), default=0)
    moments = [released_at + timedelta(seconds=ramp_s)]
    moments += [step.not_before for step in state.restore_steps]
    moments += [
        since + timedelta(seconds=state.zones[zone_id].minimum_off_s)
        for zone_id, since in state.curtailed_at.items()
        if zone_id in state.zones
    ]
    return max(moments)


def restore_events(state: DispatchState, steps: Iterable[RestoreStep], *, now: datetime) -> DispatchDecision:
    """Request the restores that are due, and plan the others; the decide worker proposes those when due."""
    listed = list(steps)
    due = [state.zones[step.zone_id] for step in listed if step.not_before <= now]
    yield from command_requests(state, due, "restore", not_after=None)
    later = tuple(step for step in listed if step.not_before > now)
    if later:
        yield pending(events.RestorePlanned, steps=later)


def restore_all_events(
    state: DispatchState, *, released_at: datetime, now: datetime, place: Place = AT_ONCE
) -> DispatchDecision:
    """Request or plan the restore of every zone of the plan."""
    steps = restore_steps(state, zones_in_order(state), released_at=released_at, place=place)
    return restore_events(state, steps, now=now)


def undo_events(state: DispatchState, *, now: datetime) -> DispatchDecision:
    """Undo a failed dispatch: restore what was or may be committed, abort what was only prepared."""
    undo = state.to_undo()
    aborts = [state.zones[zone_id] for zone_id, how in undo if how == "abort"]
    yield from command_requests(state, aborts, "abort", not_after=state.expires_at)
    restores = [state.zones[zone_id] for zone_id, how in undo if how == "restore"]
    yield from restore_events(state, restore_steps(state, restores, released_at=now), now=now)
