"""A facility: its zones, meters, BMS, agreements, and the DR events for which it is reserved."""

from domain.facility.aggregate import Facility
from domain.facility.state import (
    MOST_METERS,
    MOST_PROGRAMS,
    MOST_ZONES,
    BmsLink,
    FacilityState,
    FacilityStatus,
    Limits,
    Reservation,
    Strategy,
    Zone,
)

__all__ = [
    "MOST_METERS",
    "MOST_PROGRAMS",
    "MOST_ZONES",
    "BmsLink",
    "Facility",
    "FacilityState",
    "FacilityStatus",
    "Limits",
    "Reservation",
    "Strategy",
    "Zone",
]
