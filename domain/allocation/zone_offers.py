"""Eligibility of a facility's zones for a window, and the reduction that each can provide; pure functions."""

from __future__ import annotations

from collections.abc import Iterable

from domain.allocation.allocate import ZoneOffer
from domain.dispatch import DispatchState
from domain.facility import MOST_ZONES, Zone, within_comfort


def fitting_zones(zones: Iterable[Zone], duration_s: float) -> list[Zone]:
    """The zones whose minimum off time and longest curtailment fit the duration of the window.

    At most MOST_ZONES, those with the largest reduction: facilities may be older than that bound.
    """
    fitting = [zone for zone in zones if zone.minimum_off_s <= duration_s <= zone.longest_curtailment_s]
    if len(fitting) <= MOST_ZONES:
        return fitting
    return sorted(fitting, key=lambda zone: (-zone.curtailable_kw, zone.zone_id))[:MOST_ZONES]


def zone_offer(zone: Zone, dispatch: DispatchState | None) -> ZoneOffer:
    """The reduction that a zone can provide; if its setpoint was read, its comfort limits bound it."""
    share = 1.0
    previous = None if dispatch is None else dispatch.previous.get(zone.zone_id)
    if zone.strategy == "setpoint_offset" and previous is not None and zone.max_magnitude != 0:
        offset_k = within_comfort(
            zone.max_magnitude,
            previous.value,
            lower_c=zone.lower_comfort_limit_c,
            upper_c=zone.comfort_limit_c,
        )
        share = offset_k / zone.max_magnitude
    return ZoneOffer(zone.zone_id, zone.curtailable_kw * share, zone.strategy, zone.max_magnitude * share)
