"""A facility: what it can shed, how it is reached, what was agreed, and for which DR event it is reserved."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal, Self
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.errors import FacilityNotAvailable, NotAllowedNow, ReasonRequired
from domain.event_sourcing import Aggregate, CreationEvent, Provenance
from domain.identifiers import facility_stream_id

FacilityStatus = Literal["active", "maintenance", "deactivated"]
Strategy = Literal["setpoint_offset", "shed_level"]


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """A controllable zone; its shed is taken as linear in the strategy, up to `max_magnitude`."""

    zone_id: str
    curtailable_kw: float
    strategy: Strategy
    max_magnitude: float
    """Kelvin for `setpoint_offset`, percent for `shed_level`."""
    comfort_limit_c: float
    minimum_off_s: int
    longest_curtailment_s: int
    rebound_ramp_s: int


class BmsLink(msgspec.Struct, frozen=True, kw_only=True):
    """How the building management system is reached; the secret itself is never here."""

    address: str
    profile: str
    credentials_ref: str | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed with the facility."""

    dr_events_per_day: int
    dr_events_per_season: int
    longest_dr_event_s: int
    notification_lead_s: int


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Half-open window in which the facility serves one DR event."""

    dr_event_id: UUID
    starts_at: datetime
    ends_at: datetime


class FacilityState(msgspec.Struct, frozen=True, kw_only=True):
    facility_id: str
    tz: str
    latitude: float
    longitude: float
    weather_cell: str
    status: FacilityStatus = "active"
    meters: frozenset[str] = frozenset()
    zones: dict[str, Zone] = {}
    bms: BmsLink | None = None
    programs: frozenset[str] = frozenset()
    limits: Limits | None = None
    reservations: dict[str, Reservation] = {}
    served: dict[str, datetime] = {}
    """DR event id -> its start, for the limits per day and season."""


class Facility(Aggregate[FacilityState]):
    """Serves one DR event at a time; version conflicts on this stream decide races for it."""

    TOPIC: ClassVar[str] = "facility"

    class Event(Aggregate.Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.event"

    class Registered(CreationEvent, Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.registered.v1"
        originator_topic: str
        facility_id: str
        tz: str
        latitude: float
        longitude: float
        weather_cell: str

        def initial_state(self) -> FacilityState:
            return FacilityState(
                facility_id=self.facility_id,
                tz=self.tz,
                latitude=self.latitude,
                longitude=self.longitude,
                weather_cell=self.weather_cell,
            )

    class MeterInstalled(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.meter-installed.v1"
        meter_id: str

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, meters=state.meters | {self.meter_id})

    class MeterRemoved(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.meter-removed.v1"
        meter_id: str

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, meters=state.meters - {self.meter_id})

    class ZoneDefined(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.zone-defined.v1"
        zone: Zone

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, zones={**state.zones, self.zone.zone_id: self.zone})

    class ZoneRetired(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.zone-retired.v1"
        zone_id: str

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, zones={k: v for k, v in state.zones.items() if k != self.zone_id})

    class BmsConnected(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.bms-connected.v1"
        bms: BmsLink

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, bms=self.bms)

    class EnrolledInProgram(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.enrolled-in-program.v1"
        program_id: str

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, programs=state.programs | {self.program_id})

    class WithdrawnFromProgram(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.withdrawn-from-program.v1"
        program_id: str

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, programs=state.programs - {self.program_id})

    class LimitsAgreed(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.limits-agreed.v1"
        limits: Limits

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, limits=self.limits)

    class MaintenanceStarted(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.maintenance-started.v1"
        reason: str

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, status="maintenance")

    class MaintenanceEnded(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.maintenance-ended.v1"

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, status="active")

    class Deactivated(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.deactivated.v1"
        reason: str

        def evolve(self, state: FacilityState) -> FacilityState:
            return replace(state, status="deactivated")

    class Reserved(Event, frozen=True, kw_only=True):
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
            )

    class Released(Event, frozen=True, kw_only=True):
        TOPIC: ClassVar[str] = "facility.released.v1"
        dr_event_id: UUID
        starts_at: datetime
        ends_at: datetime
        served: bool
        """False when the DR event was cancelled: it then does not count against the limits."""

        def evolve(self, state: FacilityState) -> FacilityState:
            key = str(self.dr_event_id)
            served = state.served if self.served else {k: v for k, v in state.served.items() if k != key}
            kept = {k: v for k, v in state.reservations.items() if k != key}
            return replace(state, reservations=kept, served=served)

    @classmethod
    def register(
        cls,
        provenance: Provenance,
        *,
        facility_id: str,
        tz: str,
        latitude: float,
        longitude: float,
        weather_cell: str,
    ) -> Self:
        return cls.open_stream(
            facility_stream_id(facility_id),
            cls.Registered,
            provenance,
            facility_id=facility_id,
            tz=tz,
            latitude=latitude,
            longitude=longitude,
            weather_cell=weather_cell,
        )

    def agree(
        self,
        provenance: Provenance,
        *,
        meters: frozenset[str],
        zones: tuple[Zone, ...],
        bms: BmsLink,
        programs: frozenset[str],
        limits: Limits,
    ) -> None:
        """Record what differs from what is known already; the same facts again record nothing."""
        self._agree_meters(provenance, meters)
        self._agree_zones(provenance, {zone.zone_id: zone for zone in zones})
        if self.state.bms != bms:
            self.record(self.BmsConnected, provenance, bms=bms)
        for program_id in sorted(programs - self.state.programs):
            self.record(self.EnrolledInProgram, provenance, program_id=program_id)
        for program_id in sorted(self.state.programs - programs):
            self.record(self.WithdrawnFromProgram, provenance, program_id=program_id)
        if self.state.limits != limits:
            self.record(self.LimitsAgreed, provenance, limits=limits)

    def _agree_meters(self, provenance: Provenance, meters: frozenset[str]) -> None:
        for meter_id in sorted(meters - self.state.meters):
            self.record(self.MeterInstalled, provenance, meter_id=meter_id)
        for meter_id in sorted(self.state.meters - meters):
            self.record(self.MeterRemoved, provenance, meter_id=meter_id)

    def _agree_zones(self, provenance: Provenance, zones: dict[str, Zone]) -> None:
        for zone_id, zone in sorted(zones.items()):
            if self.state.zones.get(zone_id) != zone:
                self.record(self.ZoneDefined, provenance, zone=zone)
        for zone_id in sorted(set(self.state.zones) - set(zones)):
            self.record(self.ZoneRetired, provenance, zone_id=zone_id)

    def start_maintenance(self, provenance: Provenance, *, reason: str) -> None:
        if not reason.strip():
            raise ReasonRequired("maintenance needs a reason")
        if self.state.status == "deactivated":
            raise NotAllowedNow(f"{self.state.facility_id} is deactivated; register it again first")
        if self.state.status == "active":
            self.record(self.MaintenanceStarted, provenance, reason=reason)

    def end_maintenance(self, provenance: Provenance) -> None:
        if self.state.status == "maintenance":
            self.record(self.MaintenanceEnded, provenance)

    def deactivate(self, provenance: Provenance, *, reason: str) -> None:
        if not reason.strip():
            raise ReasonRequired("deactivation needs a reason")
        if self.state.status != "deactivated":
            self.record(self.Deactivated, provenance, reason=reason)

    def reserve(
        self, provenance: Provenance, *, dr_event_id: UUID, starts_at: datetime, ends_at: datetime
    ) -> None:
        """Reserve the facility for a DR event; an overlap or an inactive facility is refused."""
        if self.state.status != "active":
            raise FacilityNotAvailable(f"{self.state.facility_id} is {self.state.status}")
        for other in self.state.reservations.values():
            mine = other.dr_event_id == dr_event_id
            if not mine and other.starts_at < ends_at and starts_at < other.ends_at:
                raise FacilityNotAvailable(
                    f"{self.state.facility_id} serves DR event {other.dr_event_id} until {other.ends_at}"
                )
        self.record(self.Reserved, provenance, dr_event_id=dr_event_id, starts_at=starts_at, ends_at=ends_at)

    def release(self, provenance: Provenance, *, dr_event_id: UUID, served: bool) -> None:
        """Give the facility back; releasing twice records nothing."""
        reservation = self.state.reservations.get(str(dr_event_id))
        if reservation is not None:
            self.record(
                self.Released,
                provenance,
                dr_event_id=dr_event_id,
                starts_at=reservation.starts_at,
                ends_at=reservation.ends_at,
                served=served,
            )
