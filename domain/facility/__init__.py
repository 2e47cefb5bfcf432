"""A facility: its zones, meters, BMS, agreements, and the DR events for which it is reserved."""

from domain.facility.aggregate import Facility
from domain.facility.location import MOST_LOCATIONS, Location, Locations
from domain.facility.participation_events import OF_DR_EVENT
from domain.facility.state import (
    MOST_GROUPS,
    MOST_METERS,
    MOST_PROGRAMS,
    MOST_ZONES,
    BmsLink,
    Coordinates,
    Enrolment,
    FacilityState,
    FacilityStatus,
    Limits,
    Reservation,
    Strategy,
    Zone,
    within_comfort,
)

__all__ = [
    "MOST_GROUPS",
    "MOST_LOCATIONS",
    "MOST_METERS",
    "MOST_PROGRAMS",
    "MOST_ZONES",
    "OF_DR_EVENT",
    "BmsLink",
    "Coordinates",
    "Enrolment",
    "Facility",
    "FacilityState",
    "FacilityStatus",
    "Limits",
    "Location",
    "Locations",
    "Reservation",
    "Strategy",
    "Zone",
    "within_comfort",
]
