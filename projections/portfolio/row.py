"""The rows of the read model `portfolio`: one that is seen, and the parts that its sums are made of.

Sums are kept to the watt, so that adding and taking away never drifts.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from domain.facility import FacilityStatus


class PortfolioRow(msgspec.Struct, frozen=True, kw_only=True, tag="portfolio"):
    """The whole portfolio, as recorded so far."""

    registered_facilities: int = 0
    active_facilities: int = 0
    facilities_in_maintenance: int = 0
    deactivated_facilities: int = 0
    reserved_facilities: int = 0
    """Active ones with a reservation, running or to come."""
    declared_kw: float = 0.0
    """Curtailable, over all facilities that are not deactivated."""
    available_kw: float = 0.0
    """The part of it that is active, not reserved and not withheld."""
    reserved_kw: float = 0.0
    withheld_facilities: int = 0
    """Active ones without a reservation that have opted out of every DR event, or are kept until they are restored."""
    withheld_kw: float = 0.0
    committed_kw: float = 0.0
    """Targets of dispatches whose buildings are curtailed now."""
    delivering_kw: float = 0.0
    """What the meters last showed of those, where verified by meter."""
    open_dr_events: int = 0
    """Accepted and not yet completed or cancelled."""
    active_dr_events: int = 0
    """Whose window runs."""
    last_measured_dr_event: UUID | None = None
    last_delivered_kw: float | None = None
    changed_at: datetime | None = None


class FacilityShare(msgspec.Struct, frozen=True, kw_only=True, tag="facility"):
    """A facility's part in the sums."""

    stream_id: UUID
    status: FacilityStatus
    zones_kw: dict[str, float] = {}
    reservations: tuple[UUID, ...] = ()
    opted_out: bool = False
    """Of every DR event: of one of them does not keep it from others."""
    not_restored_from: tuple[UUID, ...] = ()

    @property
    def withheld(self) -> bool:
        return self.opted_out or bool(self.not_restored_from)

    @property
    def declared_kw(self) -> float:
        return sum(map(watts, self.zones_kw.values())) / 1000


class DispatchShare(msgspec.Struct, frozen=True, kw_only=True, tag="dispatch"):
    """A dispatch's part in the sums, until its restore begins."""

    dispatch_id: UUID
    target_kw: float
    committed: bool = False
    delivering_kw: float = 0.0


PortfolioRows = PortfolioRow | FacilityShare | DispatchShare


def watts(kw: float) -> int:
    return round(kw * 1000)


def sum_kw(first_kw: float, second_kw: float) -> float:
    return (watts(first_kw) + watts(second_kw)) / 1000
