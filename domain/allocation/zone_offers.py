"""Which zones of a facility may serve a window, and how far one may be curtailed; pure."""

from __future__ import annotations

from collections.abc import Iterable

from domain.allocation.allocate import ZoneOffer
from domain.dispatch import DispatchState
from domain.facility import Zone


def fitting_zones(zones: Iterable[Zone], duration_s: float) -> list[Zone]:
    """Zones that can be let go again by the end, and need not be before it."""
    return [zone for zone in zones if zone.minimum_off_s <= duration_s <= zone.longest_curtailment_s]


def zone_offer(zone: Zone, dispatch: DispatchState | None) -> ZoneOffer:
    """What a zone can shed; where its setpoint is known already, no more than its comfort limit leaves."""
    share = 1.0
    found = None if dispatch is None else dispatch.previous.get(zone.zone_id)
    if zone.strategy == "setpoint_offset" and found is not None and zone.max_magnitude > 0:
        share = min(1.0, max(0.0, zone.comfort_limit_c - found.value) / zone.max_magnitude)
    return ZoneOffer(zone.zone_id, zone.curtailable_kw * share, zone.strategy, zone.max_magnitude * share)
