"""Commands on facilities."""

from uuid import UUID

import msgspec

from application.facility.portfolio_entries import FacilityEntry


class RegisterFacility(msgspec.Struct, frozen=True, kw_only=True):
    """Make a facility known as the portfolio states it; repeated, only differences are recorded."""

    entry: FacilityEntry


class StartMaintenance(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    reason: str


class EndMaintenance(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str


class OptOutFacility(msgspec.Struct, frozen=True, kw_only=True):
    """The facility will not serve: that DR event, or any (None) until it opts in again. Reply: OptingOut."""

    facility_id: str
    dr_event_id: UUID | None = None
    reason: str


class OptInFacility(msgspec.Struct, frozen=True, kw_only=True):
    """It serves again, as far as nothing was commanded there yet. Reply: OptingOut."""

    facility_id: str
    dr_event_id: UUID | None = None
    reason: str


class OptingOut(msgspec.Struct, frozen=True, kw_only=True):
    """What an opt-out or opt-in came to."""

    facility_id: str
    opted_out: bool
    """Of that DR event, or of any, as was asked."""
    dr_event_ids: tuple[UUID, ...] = ()
    """The DR events that it is reserved for and that this concerns."""
