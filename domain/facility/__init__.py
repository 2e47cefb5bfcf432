"""A facility: what it can shed, how it is reached, what was agreed, and for which DR event it is reserved."""

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
