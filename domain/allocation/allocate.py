"""Who sheds how much: a target split over facilities and their zones.

Shares are proportional to headroom and capped by it, unless another rule is asked for
(`domain.allocation.proportional_split`). As weight and cap are the same number, no share meets its cap before
all of them do, so one pass is the exact water-filling solution; the same holds for the zones inside a facility.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum

import msgspec

from domain.allocation.proportional_split import AllocationRule, proportional, split
from domain.units import kilowatts, quantity

TOLERANCE_KW = 1e-6
"""Shares sum to what was allocated within this much (rounding of floats)."""


class ZoneOffer(msgspec.Struct, frozen=True):
    """What one zone can shed: `curtailable_kw` at `max_magnitude` of its strategy (kelvin or percent),
    linear below.
    """

    zone_id: str
    curtailable_kw: float
    strategy: str
    max_magnitude: float


class FacilityOffer(msgspec.Struct, frozen=True):
    """What one facility can shed in the window.

    `forecast_kw` is the lowest median load forecast inside the window (None: not known); a building cannot
    shed more than it uses. `contract_limit_kw` is an agreed ceiling. `blocked` is only carried through.
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
    """A zone's part of the target and the magnitude of its strategy (kelvin or percent) that gives it."""

    zone_id: str
    target_kw: float
    strategy: str
    magnitude: float


class FacilityShare(msgspec.Struct, frozen=True):
    """A facility's part of the target; zero where it has no headroom, and then there is nothing to
    dispatch.
    """

    facility_id: str
    target_kw: float
    headroom_kw: float
    zones: tuple[ZoneShare, ...]
    blocked: bool = False


class Allocation(msgspec.Struct, frozen=True):
    """A split of `target_kw`; `allocated_kw` + `missing_kw` is the target. Shares are in order of facility
    id.
    """

    shares: tuple[FacilityShare, ...]
    target_kw: float
    allocated_kw: float
    missing_kw: float


def allocate(
    target_kw: float, offers: Sequence[FacilityOffer], *, rule: AllocationRule = "proportional"
) -> Allocation:
    """Split `target_kw` over `offers`, whatever their order, by `rule` with their headroom as limits.

    Blocked facilities receive their share too: it is their dispatch that waits for an override. Raises
    InvalidQuantity for a number that is negative or not finite, ValueError for a repeated facility or zone.
    """
    target_kw = kilowatts(target_kw, name="target_kw")
    known = _checked(offers)
    headrooms = {facility_id: offer.headroom_kw for facility_id, offer in known.items()}
    return _allocation(target_kw, known, split(rule, target_kw, headrooms))


def reallocate(plan: Allocation, offers: Sequence[FacilityOffer], failed: Iterable[str]) -> Allocation:
    """`plan` with the shares of the `failed` facilities given to the room left at the others.

    Nobody's share shrinks, unless its headroom did. `offers` are the facilities still able to take part, with
    their present headroom. The failed ones stand in the result with a target of zero. Raises as `allocate`.
    """
    gone = set(failed)
    known = _checked([offer for offer in offers if offer.facility_id not in gone])
    planned = {share.facility_id: share.target_kw for share in plan.shares}
    held = {i: min(planned.get(i, 0.0), offer.headroom_kw) for i, offer in known.items()}
    room = {i: offer.headroom_kw - held[i] for i, offer in known.items()}
    wanted_kw = max(0.0, plan.target_kw - fsum(held.values()))
    extra = proportional(wanted_kw, room)
    revised = _allocation(plan.target_kw, known, {i: held[i] + extra[i] for i in known})
    lost = [
        FacilityShare(s.facility_id, 0.0, 0.0, (), s.blocked)
        for s in plan.shares
        if s.facility_id not in known
    ]
    return msgspec.structs.replace(revised, shares=tuple(sorted((*revised.shares, *lost), key=_facility_id)))


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
    return ZoneShare(zone.zone_id, target_kw, zone.strategy, part * zone.max_magnitude)


def _checked(offers: Sequence[FacilityOffer]) -> dict[str, FacilityOffer]:
    known: dict[str, FacilityOffer] = {}
    for offer in sorted(offers, key=_facility_id):
        if offer.facility_id in known:
            raise ValueError(f"facility {offer.facility_id} is offered twice")
        _check_zones(offer)
        for name, limit in (
            ("forecast_kw", offer.forecast_kw),
            ("contract_limit_kw", offer.contract_limit_kw),
        ):
            if limit is not None:
                quantity(limit, name=f"{name} of {offer.facility_id}")
        known[offer.facility_id] = offer
    return known


def _check_zones(offer: FacilityOffer) -> None:
    seen: set[str] = set()
    for zone in offer.zones:
        if zone.zone_id in seen:
            raise ValueError(f"zone {zone.zone_id} of {offer.facility_id} is offered twice")
        kilowatts(zone.curtailable_kw, name=f"curtailable_kw of {offer.facility_id}/{zone.zone_id}")
        quantity(zone.max_magnitude, name=f"max_magnitude of {offer.facility_id}/{zone.zone_id}", minimum=0.0)
        seen.add(zone.zone_id)


def _facility_id(item: FacilityOffer | FacilityShare) -> str:
    return item.facility_id
