"""Commands on facilities."""

from uuid import UUID

import msgspec

from application.facility.portfolio_entries import FacilityEntry


class RegisterFacility(msgspec.Struct, frozen=True, kw_only=True):
    """Register a facility as the portfolio states it. A repeat records only the differences.

    Its coordinates are not recorded: they stand beside the log (ADR 0071).
    """

    entry: FacilityEntry
    may_connect_bms: bool = True
    """Whether address and credentials of the BMS may differ from the recorded ones."""


class StartMaintenance(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    reason: str


class EndMaintenance(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str


class DeactivateFacility(msgspec.Struct, frozen=True, kw_only=True):
    """Take the facility out of service for good. Reply: Deactivation."""

    facility_id: str
    reason: str


class ReactivateFacility(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    reason: str


class Deactivation(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a deactivation."""

    facility_id: str
    dr_event_ids: tuple[UUID, ...] = ()
    """The DR events from which it was released."""


class OptOutFacility(msgspec.Struct, frozen=True, kw_only=True):
    """Opt the facility out: of one DR event, or of all (None) until it opts in again. Reply: OptingOut."""

    facility_id: str
    dr_event_id: UUID | None = None
    reason: str
    by_owner: bool = False
    """With a key of the role `owner`: what an operator began, an owner does not end."""


class OptInFacility(msgspec.Struct, frozen=True, kw_only=True):
    """Opt the facility in again, as far as nothing was commanded there yet. Reply: OptingOut."""

    facility_id: str
    dr_event_id: UUID | None = None
    reason: str
    by_owner: bool = False
    """With a key of the role `owner`: what an operator began, an owner does not end."""


class OptingOut(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an opt-out or opt-in."""

    facility_id: str
    opted_out: bool
    """Of that DR event, or of all, as requested."""
    dr_event_ids: tuple[UUID, ...] = ()
    """The affected DR events, for which the facility is reserved."""
