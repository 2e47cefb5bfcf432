"""How a curtailed building is let go: no zone before its minimum off time, spread against a rebound; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from domain.dispatch import events
from domain.dispatch.decisions import Fact, requests, zones_in_order
from domain.dispatch.state import DispatchState, RestoreStep, ZonePlan

LONGEST_SPREAD_S = 900
"""However slow a zone's ramp: half of the time after which a BMS that hears nothing restores itself."""
Place = tuple[int, int]
"""(rank, of how many): the place of a facility in the order in which a batch is restored."""
AT_ONCE: Place = (0, 0)


def restore_steps(
    state: DispatchState, zones: Iterable[ZonePlan], *, released_at: datetime, place: Place = AT_ONCE
) -> list[RestoreStep]:
    """When each zone may be restored.

    The zones of all facilities are spread evenly over their rebound ramp, in the order of the facilities; `AT_ONCE`
    only the minimum off times are kept.
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
    """When its building can be free of this DR event, were it let go now: at once, but for minimum off times.

    A zone whose commit is under way, or about to be requested, is taken as curtailed now.
    """
    soon = state.status in {"prepared", "committing"} and state.left is None
    free_at = [now]
    for zone in state.zones.values():
        since = state.curtailed_at.get(zone.zone_id, now if soon else None)
        if since is not None:
            free_at.append(since + timedelta(seconds=zone.minimum_off_s))
    return max(free_at)


def restoring(state: DispatchState, steps: Iterable[RestoreStep], *, now: datetime) -> Iterator[Fact]:
    """Zones whose time has come are requested; the others are planned, and their time is proposed by the schedule."""
    known = list(steps)
    due = [state.zones[step.zone_id] for step in known if step.not_before <= now]
    yield from requests(state, due, "restore", not_after=None)
    later = tuple(step for step in known if step.not_before > now)
    if later:
        yield events.RestorePlanned, {"steps": later}


def restoring_all(
    state: DispatchState, *, released_at: datetime, now: datetime, place: Place = AT_ONCE
) -> Iterator[Fact]:
    steps = restore_steps(state, zones_in_order(state), released_at=released_at, place=place)
    return restoring(state, steps, now=now)


def undoing(state: DispatchState, *, now: datetime) -> Iterator[Fact]:
    """Of a failed dispatch: what was or may be committed is restored, what was only prepared aborted."""
    undo = state.to_undo()
    aborts = [state.zones[zone_id] for zone_id, how in undo if how == "abort"]
    yield from requests(state, aborts, "abort", not_after=state.expires_at)
    restores = [state.zones[zone_id] for zone_id, how in undo if how == "restore"]
    yield from restoring(state, restore_steps(state, restores, released_at=now), now=now)
