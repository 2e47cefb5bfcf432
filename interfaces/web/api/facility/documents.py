"""Documents of facilities, as the API publishes them.

Each lists its fields. A field of a row that is not listed here is not published (ADR 0056).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

import msgspec

from domain.dispatch import DispatchStatus
from domain.event_sourcing.decoders import converted
from domain.facility import FacilityStatus, Limits, Location, Reservation, Zone
from domain.telemetry.intervals import interval_start
from interfaces.web.caching.coordinates import StoredCoordinates
from projections.facility import FacilityRow, with_coordinates


class LatestDispatchDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The dispatch that was planned last for the facility."""

    dispatch_id: UUID
    dr_event_id: UUID
    status: DispatchStatus
    starts_at: datetime
    ends_at: datetime
    target_kw: float


class FacilityDocument(msgspec.Struct, frozen=True, kw_only=True, tag="facility"):
    """A facility. It never contains credentials."""

    facility_id: str
    tz: str
    latitude: float | None
    longitude: float | None
    """Null where none were given, or they were forgotten."""
    weather_cell: str
    region: str | None = None
    """Whose public holidays apply, ISO 3166; null: those of its time zone."""
    location_history: tuple[Location, ...] = ()
    """All that were agreed, where there was a change: each is in force from its first day on."""
    status: FacilityStatus
    status_reason: str | None = None
    """Why it is in maintenance, or was deactivated."""
    meters: tuple[str, ...] = ()
    zones: tuple[Zone, ...] = ()
    curtailable_kw: float = 0.0
    """Declared, summed over its zones."""
    bms_address: str | None = None
    bms_profile: str | None = None
    programs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """The operator's own labels."""
    limits: Limits | None = None
    reservations: tuple[Reservation, ...] = ()
    """In order of their starts."""
    dr_events_served: int = 0
    """In the last 800 days, and those not restored yet."""
    opted_out: bool = False
    """Of every DR event to come."""
    opted_out_by_owner: bool = False
    """Its owner did that, and may end it."""
    opted_out_of: tuple[UUID, ...] = ()
    """Single DR events."""
    awaits_restore: bool = False
    """Its building may be curtailed still: no other DR event gets it meanwhile."""
    latest_dispatch: LatestDispatchDocument | None = None
    registered_at: datetime
    changed_at: datetime


@dataclass(frozen=True)
class FacilityDocuments:
    """Makes the documents, with the coordinates that stand beside the log. Equal to another one of the same time."""

    coordinates: StoredCoordinates
    at: datetime | None
    """The moment whose time zone, weather cell and region are shown; None: that of the last change of each facility."""

    @classmethod
    def of_now(cls, coordinates: StoredCoordinates, now: datetime) -> Self:
        """Equal ones within a quarter-hour: no local day begins inside of one."""
        return cls(coordinates, interval_start(now))

    def __call__(self, row: FacilityRow) -> FacilityDocument:
        located = with_coordinates(row, self.coordinates.stored)
        document = converted(located, FacilityDocument, from_attributes=True)
        if not row.later_locations:
            return document
        present = row.locations.at(self.at or row.changed_at)
        return msgspec.structs.replace(
            document,
            tz=present.tz,
            weather_cell=present.weather_cell,
            region=present.region,
        )
