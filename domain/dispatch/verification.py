"""Decisions of `Dispatch` about observations: zones as their BMS reports them, drift, the load by the meter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from domain.dispatch import observation_events
from domain.dispatch.decisions import DispatchDecision, command_requests
from domain.dispatch.state import CURTAILED, DispatchState, Setpoint
from domain.event_sourcing.aggregate import pending
from domain.facility import MOST_ZONES

MAX_COMMIT_ROUNDS = 8
"""After this many rounds, drift of a zone is no longer corrected: somebody in the building sets it on
purpose."""
SETPOINT_TOLERANCE = 0.1
"""Two setpoints that differ by no more than this are equal."""


def verify_by_bms(state: DispatchState, *, states: dict[str, tuple[Setpoint, bool]]) -> DispatchDecision:
    """Compare each curtailed zone's (setpoint, curtailed) with the command.

    The dispatch is verified once every commanded zone was read. A zone without room under its comfort
    limit was never commanded.
    """
    if state.status != "committed" or state.left is not None:
        return
    commanded = sorted(state.curtailed_at)
    drifted = [zone_id for zone_id in commanded if zone_id in states and not states[zone_id][1]]
    for zone_id in drifted:
        found, curtailed = states[zone_id]
        yield pending(observation_events.DriftDetected, zone_id=zone_id, found=found, curtailed=curtailed)
    if not drifted and all(zone_id in states for zone_id in commanded):
        yield pending(observation_events.VerifiedByBms)


def verify_by_meter(state: DispatchState, *, delivered_kw: float, measured_at: datetime) -> DispatchDecision:
    """Record that the meter confirms the load reduction."""
    if state.status in {"committed", "verified_by_bms"} and state.left is None:
        yield pending(observation_events.VerifiedByMeter, delivered_kw=delivered_kw, measured_at=measured_at)


def drifted_zones(state: DispatchState, seen: Mapping[str, tuple[Setpoint, bool]]) -> list[str]:
    """The zones whose state differs from what their BMS reported at the commit. A zone that was not read is
    left out.
    """
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


def drift_corrections(
    state: DispatchState, seen: Mapping[str, tuple[Setpoint, bool]], *, not_after: datetime
) -> DispatchDecision:
    """Record drift, and correct it by a new round of the commit, up to MAX_COMMIT_ROUNDS.

    Of MOST_ZONES zones at once; a larger building is compared again soon.
    """
    commits = state.latest("commit")
    drifted = [i for i in drifted_zones(state, seen) if commits[i].command.round <= MAX_COMMIT_ROUNDS]
    for zone_id in drifted[:MOST_ZONES]:
        found, curtailed = seen[zone_id]
        yield pending(observation_events.DriftDetected, zone_id=zone_id, found=found, curtailed=curtailed)
        zone = state.zones[zone_id]
        if state.magnitude_of(zone) != 0:
            yield from command_requests(state, [zone], "commit", not_after=min(not_after, state.ends_at))
