"""Changes of a dispatch that is under way: a new plan, or an early leave; pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.dispatch import events
from domain.dispatch.decisions import DispatchDecision, command_requests, zones_in_order
from domain.dispatch.restore import AT_ONCE, Place, restore_all_events
from domain.dispatch.state import (
    CURTAILED,
    CommandRecord,
    DispatchState,
    DispatchStatus,
    LeaveCause,
    ZonePlan,
)
from domain.event_sourcing.aggregate import pending

PARTICIPATING: frozenset[DispatchStatus] = frozenset(
    {"planned", "blocked", "preparing", "prepared", "committing", *CURTAILED}
)
"""The states in which a facility takes part."""
MIN_PREPARE_TIME = timedelta(minutes=5)
"""A prepare, or the abort of one, may be sent for at least this long, even if the start is nearer or past."""


def prepare_by(state: DispatchState, now: datetime) -> datetime:
    """The moment after which nothing is prepared any more."""
    return min(max(state.starts_at, now + MIN_PREPARE_TIME), state.ends_at)


def can_be_amended(state: DispatchState) -> bool:
    """True if the dispatch takes part: a new plan may include it, and it can leave.

    This includes a dispatch whose preparation is being released only to be prepared again.
    """
    will_return = state.status == "aborting" and state.prepare_again
    return state.left is None and (state.status in PARTICIPATING or will_return)


def can_rejoin(state: DispatchState) -> bool:
    """True if it left before anything was curtailed. A building is not curtailed twice in one DR event."""
    return state.status == "aborted" and state.left is not None and not state.was_committed


def is_curtailing(state: DispatchState) -> bool:
    """True if it is curtailed or about to be, so that its zones are fixed."""
    return state.status in CURTAILED or state.status == "committing"


def needs_prepare_again(
    state: DispatchState, zones: tuple[ZonePlan, ...], *, starts_at: datetime, expires_at: datetime
) -> bool:
    """True if the zones or the window changed. A changed magnitude needs no new prepare: the commit carries it."""
    if state.status not in {"preparing", "prepared"}:
        return False
    held = held_zones(state)
    more = any(zone.zone_id not in held for zone in zones)
    return more or (starts_at, expires_at) != (state.starts_at, state.expires_at)


def held_zones(state: DispatchState) -> dict[str, CommandRecord]:
    """Zone -> its prepare command, for the zones that are prepared and not aborted since.

    Commands are in the order of their requests.
    """
    held: dict[str, CommandRecord] = {}
    for record in state.commands.values():
        if record.command.phase == "prepare":
            held[record.command.zone_id] = record
        elif record.command.phase == "abort":
            held.pop(record.command.zone_id, None)
    return held


def dropped_zones(state: DispatchState) -> list[ZonePlan]:
    """The zones that are prepared but no longer in the plan. A prepare of unknown outcome expires by itself."""
    return [
        ZonePlan(zone_id=zone_id, target_kw=0.0, strategy=record.command.strategy, magnitude=0.0)
        for zone_id, record in sorted(held_zones(state).items())
        if zone_id not in state.zones and record.state == "succeeded"
    ]


def drop_events(state: DispatchState, *, now: datetime) -> DispatchDecision:
    """Abort the zones that are no longer in the plan; the others stay prepared. Waits for open prepares.

    A commit waits for the outcome of an abort. The abort is therefore sent no later than a prepare would be:
    the hold of the BMS expires by itself.
    """
    if state.status == "prepared" and state.left is None:
        yield from command_requests(state, dropped_zones(state), "abort", not_after=prepare_by(state, now))


def release_events(state: DispatchState) -> DispatchDecision:
    """Abort all that is prepared and not curtailed, once open prepares have an outcome."""
    if state.status == "prepared":
        zones = [*zones_in_order(state), *dropped_zones(state)]
        yield from command_requests(state, zones, "abort", not_after=state.expires_at)


def leave_events(
    state: DispatchState, *, cause: LeaveCause, reason: str, now: datetime, place: Place = AT_ONCE
) -> DispatchDecision:
    """The facility leaves. Nothing is recorded for a facility that no longer takes part."""
    if not can_be_amended(state):
        return
    yield pending(events.LeftEarly, cause=cause, reason=reason, left_at=now)
    if state.status in {"planned", "blocked"}:
        yield pending(events.Aborted, reason=reason)
    elif state.status in CURTAILED and not state.has_open_command:
        yield from restore_all_events(state, released_at=now, now=now, place=place)
    else:
        yield from release_events(state)


def align_events(state: DispatchState, *, not_after: datetime) -> DispatchDecision:
    """Commit again the zones whose magnitude or expiry has changed since their last commit."""
    if state.status not in CURTAILED or state.left is not None or state.has_open_command:
        return
    commits = state.latest("commit")
    changed = []
    for zone in zones_in_order(state):
        commit = commits.get(zone.zone_id)
        if commit is None:
            continue  # The comfort limit left no room, so it was never commanded.
        wanted = (state.magnitude_of(zone), state.expires_at)
        if wanted[0] != 0 and (commit.command.magnitude, commit.command.expires_at) != wanted:
            changed.append(zone)
    yield from command_requests(state, changed, "commit", not_after=min(not_after, state.ends_at))
