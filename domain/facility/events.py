"""Domain events of what a facility is, and their effect on its state. Used as `Facility.<Name>`."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from domain.event_sourcing.aggregate import Aggregate, CreationEvent
from domain.facility.location import Location
from domain.facility.state import BmsLink, Enrolment, FacilityState, Limits, Zone


class Event(Aggregate.Event, frozen=True, kw_only=True):
    """The base of every domain event of a facility."""

    TOPIC: ClassVar[str] = "facility.event"


class Registered(CreationEvent, Event, frozen=True, kw_only=True):
    """The facility exists from now on."""

    TOPIC: ClassVar[str] = "facility.registered.v1"
    originator_topic: str
    facility_id: str
    tz: str
    latitude: float
    longitude: float
    weather_cell: str
    has_coordinates: bool = True
    """False: they stand in a table that can forget (ADR 0071), and both fields are 0."""

    def initial_state(self) -> FacilityState:
        return FacilityState(
            facility_id=self.facility_id,
            tz=self.tz,
            latitude=self.latitude if self.has_coordinates else None,
            longitude=self.longitude if self.has_coordinates else None,
            weather_cell=self.weather_cell,
        )


class MeterInstalled(Event, frozen=True, kw_only=True):
    """A meter belongs to the facility from now on."""

    TOPIC: ClassVar[str] = "facility.meter-installed.v1"
    meter_id: str

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, meters=state.meters | {self.meter_id})


class MeterRemoved(Event, frozen=True, kw_only=True):
    """A meter no longer belongs to the facility."""

    TOPIC: ClassVar[str] = "facility.meter-removed.v1"
    meter_id: str

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, meters=state.meters - {self.meter_id})


class ZoneDefined(Event, frozen=True, kw_only=True):
    """A zone was added or changed."""

    TOPIC: ClassVar[str] = "facility.zone-defined.v2"
    zone: Zone

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, zones={**state.zones, self.zone.zone_id: self.zone})


class ZoneRetired(Event, frozen=True, kw_only=True):
    """A zone was removed."""

    TOPIC: ClassVar[str] = "facility.zone-retired.v1"
    zone_id: str

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, zones={k: v for k, v in state.zones.items() if k != self.zone_id})


class BmsConnected(Event, frozen=True, kw_only=True):
    """The address of the BMS was set or changed."""

    TOPIC: ClassVar[str] = "facility.bms-connected.v1"
    bms: BmsLink

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, bms=self.bms)


class EnrolledInProgram(Event, frozen=True, kw_only=True):
    """The facility takes part in a program from now on, or its enrolment changed."""

    TOPIC: ClassVar[str] = "facility.enrolled-in-program.v2"
    program_id: str
    kw: str | None
    """The enrolled power, a KilowattString; None: not agreed."""
    level_kw: str | None
    """Its own firm service level, a KilowattString; None: that of the program."""

    def evolve(self, state: FacilityState) -> FacilityState:
        enrolment = Enrolment(kw=self.kw, level_kw=self.level_kw)
        return replace(state, enrolments={**state.enrolments, self.program_id: enrolment})


class WithdrawnFromProgram(Event, frozen=True, kw_only=True):
    """The facility no longer takes part in a program."""

    TOPIC: ClassVar[str] = "facility.withdrawn-from-program.v1"
    program_id: str

    def evolve(self, state: FacilityState) -> FacilityState:
        remaining = {k: v for k, v in state.enrolments.items() if k != self.program_id}
        return replace(state, enrolments=remaining)


class LimitsAgreed(Event, frozen=True, kw_only=True):
    """The agreed limits were set or changed."""

    TOPIC: ClassVar[str] = "facility.limits-agreed.v1"
    limits: Limits

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, limits=self.limits)


class RegionAgreed(Event, frozen=True, kw_only=True):
    """The region whose public holidays apply: ISO 3166, such as "US-CA" or "DE"; None: that of its time zone.

    It applies from the beginning. Recorded at the registration; a later change is a LocationAgreed.
    """

    TOPIC: ClassVar[str] = "facility.region-agreed.v1"
    region: str | None

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, region=self.region)


class LocationAgreed(Event, frozen=True, kw_only=True):
    """The time zone, weather cell and region from a local day on."""

    TOPIC: ClassVar[str] = "facility.location-agreed.v1"
    location: Location

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(
            state, later_locations=state.locations.with_agreed(self.location, self.recorded_at).later
        )


class GroupsAssigned(Event, frozen=True, kw_only=True):
    """The groups that the operator sorts the facility into; they replace those of before."""

    TOPIC: ClassVar[str] = "facility.groups-assigned.v1"
    groups: tuple[str, ...]
    """In order."""

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, groups=frozenset(self.groups))


class MaintenanceStarted(Event, frozen=True, kw_only=True):
    """The facility is out of service."""

    TOPIC: ClassVar[str] = "facility.maintenance-started.v1"
    reason: str

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, status="maintenance")


class MaintenanceEnded(Event, frozen=True, kw_only=True):
    """The facility is in service again."""

    TOPIC: ClassVar[str] = "facility.maintenance-ended.v1"

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, status="active")


class Deactivated(Event, frozen=True, kw_only=True):
    """The facility is out of service for good."""

    TOPIC: ClassVar[str] = "facility.deactivated.v1"
    reason: str

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, status="deactivated")


class Reactivated(Event, frozen=True, kw_only=True):
    """A facility that was deactivated is in service again."""

    TOPIC: ClassVar[str] = "facility.reactivated.v1"
    reason: str

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, status="active")
