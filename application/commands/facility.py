"""Commands on facilities."""

import msgspec

from application.portfolio import FacilityEntry


class RegisterFacility(msgspec.Struct, frozen=True, kw_only=True):
    """Make a facility known as the portfolio states it; repeated, only differences are recorded."""

    entry: FacilityEntry


class StartMaintenance(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    reason: str


class EndMaintenance(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
