"""A dispatch whose plan changes, whose building drifts, or whose facility leaves, while it is under way; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from domain.dispatch import events, observation_events
from domain.dispatch.decisions import Fact, requests, zones_in_order
from domain.dispatch.restore import AT_ONCE, Place, restoring_all
from domain.dispatch.state import (
    CURTAILED,
    CommandRecord,
    DispatchState,
    DispatchStatus,
    LeaveCause,
    Setpoint,
    ZonePlan,
)

BEGUN: frozenset[DispatchStatus] = frozenset(
    {"planned", "blocked", "preparing", "prepared", "committing", *CURTAILED}
)
"""The states in which a facility takes part."""
MOST_ROUNDS = 8
"""So often a zone is commanded anew against drift; then somebody in the building means it."""
SETPOINT_TOLERANCE = 0.1
LEAST_TO_PREPARE = timedelta(minutes=5)
"""However near the start is, or past: so long a prepare, or the abort of one, may still be sent."""


def prepare_by(state: DispatchState, now: datetime) -> datetime:
    """From then on nothing is prepared any more."""
    return min(max(state.starts_at, now + LEAST_TO_PREPARE), state.ends_at)


def can_be_amended(state: DispatchState) -> bool:
    """Whether it takes part: a new plan may still count on it, and it can still leave.

    So does one whose preparation is being released only to be prepared again.
    """
    to_come_back = state.status == "aborting" and state.prepare_again
    return state.left is None and (state.status in BEGUN or to_come_back)


def can_rejoin(state: DispatchState) -> bool:
    """It left before anything was curtailed; a building is not curtailed twice in one DR event."""
    return state.status == "aborted" and state.left is not None and not state.was_committed


def is_curtailing(state: DispatchState) -> bool:
    """Curtailed, or about to be: its zones are fixed."""
    return state.status in CURTAILED or state.status == "committing"


def needs_prepare_again(
    state: DispatchState, zones: tuple[ZonePlan, ...], *, starts_at: datetime, expires_at: datetime
) -> bool:
    """A commit carries another magnitude; another window, or a zone more, must be prepared."""
    if state.status not in {"preparing", "prepared"}:
        return False
    held = held_zones(state)
    more = any(zone.zone_id not in held for zone in zones)
    return more or (starts_at, expires_at) != (state.starts_at, state.expires_at)


def held_zones(state: DispatchState) -> dict[str, CommandRecord]:
    """Zone -> its prepare, where it was not let go since: commands stand in the order of their requests."""
    held: dict[str, CommandRecord] = {}
    for record in state.commands.values():
        if record.command.phase == "prepare":
            held[record.command.zone_id] = record
        elif record.command.phase == "abort":
            held.pop(record.command.zone_id, None)
    return held


def dropped_zones(state: DispatchState) -> list[ZonePlan]:
    """Zones that are prepared though the plan has left them out; one whose prepare has no known outcome expires."""
    return [
        ZonePlan(zone_id=zone_id, target_kw=0.0, strategy=record.command.strategy, magnitude=0.0)
        for zone_id, record in sorted(held_zones(state).items())
        if zone_id not in state.zones and record.state == "succeeded"
    ]


def dropping(state: DispatchState, *, now: datetime) -> Iterator[Fact]:
    """Let go the zones that the plan has left out, the others stay prepared; open prepares settle first.

    A commit waits for the outcome, so it is not sought for longer than that of a prepare: the hold ends by itself.
    """
    if state.status == "prepared" and state.left is None:
        yield from requests(state, dropped_zones(state), "abort", not_after=prepare_by(state, now))


def releasing(state: DispatchState) -> Iterator[Fact]:
    """Let go what was prepared and is not curtailed; open prepares settle first, and come back here."""
    if state.status == "prepared":
        zones = [*zones_in_order(state), *dropped_zones(state)]
        yield from requests(state, zones, "abort", not_after=state.expires_at)


def leaving(
    state: DispatchState, *, cause: LeaveCause, reason: str, now: datetime, place: Place = AT_ONCE
) -> Iterator[Fact]:
    """The facility leaves; nothing where it takes no part any more."""
    if not can_be_amended(state):
        return
    yield events.LeftEarly, {"cause": cause, "reason": reason, "left_at": now}
    if state.status in {"planned", "blocked"}:
        yield events.Aborted, {"reason": reason}
    elif state.status in CURTAILED and not state.has_open_command:
        yield from restoring_all(state, released_at=now, now=now, place=place)
    else:
        yield from releasing(state)


def aligning(state: DispatchState, *, not_after: datetime) -> Iterator[Fact]:
    """Command anew what a curtailed building does not know yet: another magnitude, or another expiry."""
    if state.status not in CURTAILED or state.left is not None or state.has_open_command:
        return
    commits = state.latest("commit")
    changed = []
    for zone in zones_in_order(state):
        known = commits.get(zone.zone_id)
        if known is None:
            continue  # its comfort limit left nothing to command
        wanted = (state.magnitude_of(zone), state.expires_at)
        if wanted[0] > 0 and (known.command.magnitude, known.command.expires_at) != wanted:
            changed.append(zone)
    yield from requests(state, changed, "commit", not_after=min(not_after, state.ends_at))


def drifted_zones(state: DispatchState, seen: Mapping[str, tuple[Setpoint, bool]]) -> list[str]:
    """Zones that are not as their BMS said at the commit; one that was not looked at is not judged."""
    if state.status not in CURTAILED or state.left is not None or state.has_open_command:
        return []
    return [
        zone_id
        for zone_id in sorted(state.curtailed_at)
        if zone_id in seen and zone_id in state.zones and _differs(state, zone_id, *seen[zone_id])
    ]


def _differs(state: DispatchState, zone_id: str, found: Setpoint, curtailed: bool) -> bool:
    expected = state.in_force[zone_id]
    moved = found.unit == expected.unit and abs(found.value - expected.value) > SETPOINT_TOLERANCE
    return moved or not curtailed


def correcting(
    state: DispatchState, seen: Mapping[str, tuple[Setpoint, bool]], *, not_after: datetime
) -> Iterator[Fact]:
    """Drift is recorded, and corrected by a new round of the commit, some times."""
    commits = state.latest("commit")
    for zone_id in drifted_zones(state, seen):
        if commits[zone_id].command.round > MOST_ROUNDS:
            continue
        found, curtailed = seen[zone_id]
        yield observation_events.DriftFound, {"zone_id": zone_id, "found": found, "curtailed": curtailed}
        zone = state.zones[zone_id]
        if state.magnitude_of(zone) > 0:
            yield from requests(state, [zone], "commit", not_after=min(not_after, state.ends_at))
