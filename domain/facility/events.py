"""Domain events of a facility, and their effect on its state. Used as `Facility.<Name>`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, TypeVar
from uuid import UUID

from msgspec.structs import replace

from domain.event_sourcing.aggregate import Aggregate, CreationEvent
from domain.facility.location import Location
from domain.facility.state import BmsLink, Enrolment, FacilityState, Limits, Reservation, Zone

TValue = TypeVar("TValue")


def _without(values: dict[str, TValue], key: str) -> dict[str, TValue]:
    return {known: value for known, value in values.items() if known != key}


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
    """A zone was added or changed. In v1 every zone was cooled or lit: its magnitude was above 0."""

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


class Reserved(Event, frozen=True, kw_only=True):
    """The facility is reserved for a DR event."""

    TOPIC: ClassVar[str] = "facility.reserved.v1"
    dr_event_id: UUID
    starts_at: datetime
    ends_at: datetime

    def evolve(self, state: FacilityState) -> FacilityState:
        reservation = Reservation(
            dr_event_id=self.dr_event_id, starts_at=self.starts_at, ends_at=self.ends_at
        )
        key = str(self.dr_event_id)
        return replace(
            state,
            reservations={**state.reservations, key: reservation},
            served={**state.served, key: self.starts_at},
            served_until={**state.served_until, key: self.ends_at},
            utilities=state.utilities if self.tenant is None else {**state.utilities, key: self.tenant},
        )


class Released(Event, frozen=True, kw_only=True):
    """A reservation has ended."""

    TOPIC: ClassVar[str] = "facility.released.v1"
    dr_event_id: UUID
    starts_at: datetime
    ends_at: datetime
    served: bool
    """False if the DR event was cancelled: it does not count against the limits then."""
    reason: str | None = None
    """Why it ended early; None: with its DR event, or by a change of it."""

    def evolve(self, state: FacilityState) -> FacilityState:
        key = str(self.dr_event_id)
        served, until = state.served, state.served_until
        if not self.served:
            served, until = _without(served, key), _without(until, key)
        remaining = {k: v for k, v in state.reservations.items() if k != key}
        known = self.served or key in state.not_restored_from
        return replace(
            state,
            reservations=remaining,
            served=served,
            served_until=until,
            left_before_start=state.left_before_start - {key},
            opted_out_of=state.opted_out_of - {key},
            opted_out_of_by_owner=state.opted_out_of_by_owner - {key},
            utilities=state.utilities if known else _without(state.utilities, key),
        )


class RestoreAwaited(Event, frozen=True, kw_only=True):
    """A restore failed: no other DR event gets the facility until it succeeds."""

    TOPIC: ClassVar[str] = "facility.restore-awaited.v1"
    dr_event_id: UUID
    facility_id: str

    def evolve(self, state: FacilityState) -> FacilityState:
        return replace(state, not_restored_from=state.not_restored_from | {str(self.dr_event_id)})


class RestoreConfirmed(Event, frozen=True, kw_only=True):
    """The building is restored after an earlier failure."""

    TOPIC: ClassVar[str] = "facility.restore-confirmed.v1"
    dr_event_id: UUID
    facility_id: str
    dr_event_ids: tuple[UUID, ...]
    """The other DR events that have reserved it: their plans may include it again."""

    def evolve(self, state: FacilityState) -> FacilityState:
        key = str(self.dr_event_id)
        known = key in state.served or key in state.reservations
        return replace(
            state,
            not_restored_from=state.not_restored_from - {key},
            utilities=state.utilities if known else _without(state.utilities, key),
        )


class OptedOut(Event, frozen=True, kw_only=True):
    """The facility will not serve one DR event, or any (None) until it opts in again."""

    TOPIC: ClassVar[str] = "facility.opted-out.v1"
    dr_event_id: UUID | None
    dr_event_ids: tuple[UUID, ...]
    """The reserved DR events that this concerns."""
    reason: str
    by_owner: bool = False
    """With a key of its owner, who may end it too."""

    def evolve(self, state: FacilityState) -> FacilityState:
        reserved = {key: one for i in self.dr_event_ids if (one := state.reservations.get(key := str(i)))}
        ahead = {key for key, one in reserved.items() if self.recorded_at < one.starts_at}
        state = replace(state, left_before_start=state.left_before_start | ahead)
        if self.dr_event_id is None:
            return replace(state, opted_out=True, opted_out_by_owner=self.by_owner)
        this = {str(self.dr_event_id)}
        by_owner = state.opted_out_of_by_owner
        return replace(
            state,
            opted_out_of=state.opted_out_of | this,
            opted_out_of_by_owner=by_owner | this if self.by_owner else by_owner - this,
        )


class OptedIn(Event, frozen=True, kw_only=True):
    """The facility serves again: that DR event, or any (None), including those it had opted out of.

    By its owner: those that its owner had opted it out of.
    """

    TOPIC: ClassVar[str] = "facility.opted-in.v1"
    dr_event_id: UUID | None
    dr_event_ids: tuple[UUID, ...]
    """The reserved DR events that this concerns."""
    reason: str
    by_owner: bool = False

    def evolve(self, state: FacilityState) -> FacilityState:
        if self.dr_event_id is not None:
            ended = frozenset({str(self.dr_event_id)})
        else:
            ended = state.opted_out_of_by_owner if self.by_owner else state.opted_out_of
            state = replace(state, opted_out=False, opted_out_by_owner=False)
        still_out = state.opted_out_of - ended
        back = {str(i) for i in self.dr_event_ids} - still_out
        return replace(
            state,
            opted_out_of=still_out,
            opted_out_of_by_owner=state.opted_out_of_by_owner - ended,
            left_before_start=state.left_before_start - back,
        )


OF_DR_EVENT = (Reserved, Released, RestoreAwaited, RestoreConfirmed)
"""Those that belong to the history of the DR event that they name."""
