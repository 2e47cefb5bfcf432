"""A facility: its zones, meters, BMS, agreements, and the DR events for which it is reserved."""

from domain.facility.aggregate import Facility
from domain.facility.state import (
    BmsLink,
    FacilityState,
    FacilityStatus,
    Limits,
    Reservation,
    Strategy,
    Zone,
)

__all__ = [
    "BmsLink",
    "Facility",
    "FacilityState",
    "FacilityStatus",
    "Limits",
    "Reservation",
    "Strategy",
    "Zone",
]
