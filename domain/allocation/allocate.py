"""Allocation of a target over facilities and their zones.

By default a share is proportional to the headroom and limited by it; other rules are in
`domain.allocation.proportional_split`. With the headroom as both weight and cap, no share reaches its cap
before all others do. One pass is therefore the exact water-filling solution. The same holds for the zones of
a facility.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum

import msgspec

from domain.allocation.proportional_split import AllocationRule, proportional, split
from domain.units import kilowatts, quantity

TOLERANCE_KW = 1e-6
"""The sum of the shares equals the allocated power within this tolerance (floating-point rounding)."""


class ZoneOffer(msgspec.Struct, frozen=True):
    """The load reduction that one zone can provide.

    It is `curtailable_kw` at `max_magnitude` of its strategy (kelvin or percent), and linear below.
    """

    zone_id: str
    curtailable_kw: float
    strategy: str
    max_magnitude: float


class FacilityOffer(msgspec.Struct, frozen=True):
    """The load reduction that one facility can provide in the window.

    `forecast_kw` is the lowest median load forecast in the window, None if there is no forecast; a building
    cannot shed more than it uses. `contract_limit_kw` is a contractual ceiling. `blocked` is only passed on
    to the share.
    """

    facility_id: str
    zones: tuple[ZoneOffer, ...]
    forecast_kw: float | None = None
    blocked: bool = False
    contract_limit_kw: float | None = None

    @property
    def headroom_kw(self) -> float:
        limits = [fsum(zone.curtailable_kw for zone in self.zones)]
        limits += [limit for limit in (self.forecast_kw, self.contract_limit_kw) if limit is not None]
        return max(0.0, min(limits))


class ZoneShare(msgspec.Struct, frozen=True):
    """A zone's part of the target, and the magnitude of its strategy (kelvin or percent) that provides it."""

    zone_id: str
    target_kw: float
    strategy: str
    magnitude: float


class FacilityShare(msgspec.Struct, frozen=True):
    """A facility's part of the target; a facility without headroom has a share of zero and no dispatch."""

    facility_id: str
    target_kw: float
    headroom_kw: float
    zones: tuple[ZoneShare, ...]
    blocked: bool = False


class Allocation(msgspec.Struct, frozen=True):
    """The division of `target_kw`; `allocated_kw` + `missing_kw` is the target. Shares are sorted by facility
    id.
    """

    shares: tuple[FacilityShare, ...]
    target_kw: float
    allocated_kw: float
    missing_kw: float


def allocate(
    target_kw: float, offers: Sequence[FacilityOffer], *, rule: AllocationRule = "proportional"
) -> Allocation:
    """Divide `target_kw` over `offers` by `rule`, limited by their headroom. The order of `offers` does not
    matter.

    A blocked facility receives its share too; its dispatch waits for an override. Raises InvalidQuantity for
    a number that is negative or not finite, ValueError for a repeated facility or zone.
    """
    target_kw = kilowatts(target_kw, name="target_kw")
    by_id = _checked(offers)
    headrooms = {facility_id: offer.headroom_kw for facility_id, offer in by_id.items()}
    return _allocation(target_kw, by_id, split(rule, target_kw, headrooms))


def reallocate(
    plan: Allocation, offers: Sequence[FacilityOffer], failed: Iterable[str], *, others_take_over: bool = True
) -> Allocation:
    """Divide the shares of the `failed` facilities among the others, as far as their headroom allows.

    No share shrinks unless the headroom of its facility did. Unless `others_take_over`, none grows either: what is
    lost is missing. `offers` are the facilities that can still take
    part, with their current headroom. Failed facilities are in the result with a target of zero. Raises the
    same errors as `allocate`.
    """
    excluded = set(failed)
    by_id = _checked([offer for offer in offers if offer.facility_id not in excluded])
    planned = {share.facility_id: share.target_kw for share in plan.shares}
    current = {i: min(planned.get(i, 0.0), offer.headroom_kw) for i, offer in by_id.items()}
    room = {i: offer.headroom_kw - current[i] for i, offer in by_id.items()}
    open_kw = max(0.0, plan.target_kw - fsum(current.values()))
    extra = proportional(open_kw, room) if others_take_over else dict.fromkeys(by_id, 0.0)
    revised = _allocation(plan.target_kw, by_id, {i: current[i] + extra[i] for i in by_id})
    without_share = [
        FacilityShare(s.facility_id, 0.0, 0.0, (), s.blocked)
        for s in plan.shares
        if s.facility_id not in by_id
    ]
    shares = sorted((*revised.shares, *without_share), key=_facility_id)
    return msgspec.structs.replace(revised, shares=tuple(shares))


def _allocation(
    target_kw: float, offers: Mapping[str, FacilityOffer], split_kw: Mapping[str, float]
) -> Allocation:
    shares = tuple(_share(offer, split_kw[facility_id]) for facility_id, offer in offers.items())
    allocated_kw = fsum(share.target_kw for share in shares)
    missing_kw = max(0.0, target_kw - allocated_kw)
    return Allocation(shares, target_kw, allocated_kw, missing_kw if missing_kw > TOLERANCE_KW else 0.0)


def _share(offer: FacilityOffer, target_kw: float) -> FacilityShare:
    zones = {zone.zone_id: zone for zone in offer.zones}
    split_kw = proportional(target_kw, {i: zones[i].curtailable_kw for i in sorted(zones)})
    shares = tuple(_zone_share(zones[zone_id], zone_kw) for zone_id, zone_kw in split_kw.items())
    return FacilityShare(offer.facility_id, target_kw, offer.headroom_kw, shares, offer.blocked)


def _zone_share(zone: ZoneOffer, target_kw: float) -> ZoneShare:
    part = target_kw / zone.curtailable_kw if zone.curtailable_kw > 0 else 0.0
    magnitude = part * zone.max_magnitude if part else 0.0
    return ZoneShare(zone.zone_id, target_kw, zone.strategy, magnitude)


def _checked(offers: Sequence[FacilityOffer]) -> dict[str, FacilityOffer]:
    by_id: dict[str, FacilityOffer] = {}
    for offer in sorted(offers, key=_facility_id):
        if offer.facility_id in by_id:
            raise ValueError(f"facility {offer.facility_id} is offered twice")
        _check_zones(offer)
        for name, limit in (
            ("forecast_kw", offer.forecast_kw),
            ("contract_limit_kw", offer.contract_limit_kw),
        ):
            if limit is not None:
                quantity(limit, name=f"{name} of {offer.facility_id}")
        by_id[offer.facility_id] = offer
    return by_id


def _check_zones(offer: FacilityOffer) -> None:
    seen: set[str] = set()
    for zone in offer.zones:
        if zone.zone_id in seen:
            raise ValueError(f"zone {zone.zone_id} of {offer.facility_id} is offered twice")
        kilowatts(zone.curtailable_kw, name=f"curtailable_kw of {offer.facility_id}/{zone.zone_id}")
        quantity(zone.max_magnitude, name=f"max_magnitude of {offer.facility_id}/{zone.zone_id}")
        seen.add(zone.zone_id)


def _facility_id(item: FacilityOffer | FacilityShare) -> str:
    return item.facility_id
