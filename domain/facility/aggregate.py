"""The facility aggregate: master data, reservations, opt-outs and maintenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import ClassVar, Self, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from domain.errors import FacilityNotAvailable, FacilityTooLarge, NotAllowedNow, ReasonRequired
from domain.event_sourcing.aggregate import Aggregate, Provenance
from domain.facility import events, participation_events
from domain.facility.location import MOST_LOCATIONS, Location
from domain.facility.state import (
    MOST_METERS,
    MOST_PROGRAMS,
    MOST_ZONES,
    BmsLink,
    Enrolment,
    FacilityState,
    Limits,
    Reservation,
    Zone,
)
from domain.identifiers import facility_stream_id
from domain.time_series.windows import local_date


class Facility(Aggregate[FacilityState]):
    """A site that serves one DR event at a time. Version conflicts on its stream decide races for it."""

    TOPIC: ClassVar[str] = "facility"

    Event: TypeAlias = events.Event
    Registered: TypeAlias = events.Registered
    MeterInstalled: TypeAlias = events.MeterInstalled
    MeterRemoved: TypeAlias = events.MeterRemoved
    ZoneDefined: TypeAlias = events.ZoneDefined
    ZoneRetired: TypeAlias = events.ZoneRetired
    BmsConnected: TypeAlias = events.BmsConnected
    EnrolledInProgram: TypeAlias = events.EnrolledInProgram
    WithdrawnFromProgram: TypeAlias = events.WithdrawnFromProgram
    LimitsAgreed: TypeAlias = events.LimitsAgreed
    RegionAgreed: TypeAlias = events.RegionAgreed
    LocationAgreed: TypeAlias = events.LocationAgreed
    GroupsAssigned: TypeAlias = events.GroupsAssigned
    MaintenanceStarted: TypeAlias = events.MaintenanceStarted
    MaintenanceEnded: TypeAlias = events.MaintenanceEnded
    Deactivated: TypeAlias = events.Deactivated
    Reactivated: TypeAlias = events.Reactivated
    Reserved: TypeAlias = participation_events.Reserved
    Released: TypeAlias = participation_events.Released
    RestoreAwaited: TypeAlias = participation_events.RestoreAwaited
    RestoreConfirmed: TypeAlias = participation_events.RestoreConfirmed
    OptedOut: TypeAlias = participation_events.OptedOut
    OptedIn: TypeAlias = participation_events.OptedIn

    @classmethod
    def register(
        cls,
        provenance: Provenance,
        *,
        facility_id: str,
        tz: str,
        latitude: float | None,
        longitude: float | None,
        weather_cell: str,
        region: str | None = None,
    ) -> Self:
        """Begin the stream of a facility. Coordinates that are None do not stand in it."""
        facility = cls.open_stream(
            facility_stream_id(facility_id),
            cls.Registered,
            provenance,
            facility_id=facility_id,
            tz=tz,
            latitude=latitude or 0.0,
            longitude=longitude or 0.0,
            weather_cell=weather_cell,
            has_coordinates=latitude is not None and longitude is not None,
        )
        if region is not None:
            facility.record(cls.RegionAgreed, provenance, region=region)
        return facility

    def agree(
        self,
        provenance: Provenance,
        *,
        meters: frozenset[str],
        zones: tuple[Zone, ...],
        bms: BmsLink,
        enrolments: Mapping[str, Enrolment],
        limits: Limits,
        groups: frozenset[str] = frozenset(),
    ) -> None:
        """Record the differences between the given facts and the recorded ones; equal facts record nothing.

        Raises FacilityTooLarge. A facility that was registered when there was no such bound keeps what it has.
        """
        for what, count, most in (
            ("meters", len(meters), MOST_METERS),
            ("zones", len(zones), MOST_ZONES),
            ("programs", len(enrolments), MOST_PROGRAMS),
        ):
            if count > most:
                raise FacilityTooLarge(
                    f"{self.state.facility_id} has {count} {what}, at most {most}: register it as several facilities"
                )
        self._agree_meters(provenance, meters)
        self._agree_zones(provenance, {zone.zone_id: zone for zone in zones})
        if self.state.bms != bms:
            self.record(self.BmsConnected, provenance, bms=bms)
        self._agree_enrolments(provenance, enrolments)
        if self.state.limits != limits:
            self.record(self.LimitsAgreed, provenance, limits=limits)
        if self.state.groups != groups:
            self.record(self.GroupsAssigned, provenance, groups=tuple(sorted(groups)))

    def agree_location(
        self,
        provenance: Provenance,
        *,
        tz: str,
        weather_cell: str,
        region: str | None,
        from_day: date | None = None,
    ) -> None:
        """Record values that differ from those agreed last; they are in force from that local day on (None: today's).

        The values agreed last with another day move to that day. Raises FacilityTooLarge.
        """
        last, new = (
            self.state.locations.agreed_last,
            Location(tz=tz, weather_cell=weather_cell, region=region),
        )
        is_moved = last.from_day is not None and from_day not in (None, last.from_day)
        if new.has_same_values(last) and not is_moved:
            return
        today = local_date(provenance.recorded_at, ZoneInfo(tz))
        location = msgspec.structs.replace(new, from_day=from_day or today)
        agreed = self.state.locations.with_agreed(location, provenance.recorded_at)
        if len(agreed.later) > MOST_LOCATIONS:
            raise FacilityTooLarge(
                f"{self.state.facility_id} had {MOST_LOCATIONS} time zones, weather cells or regions after each other: "
                "register another facility"
            )
        self.record(self.LocationAgreed, provenance, location=location)

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

    def _agree_enrolments(self, provenance: Provenance, enrolments: Mapping[str, Enrolment]) -> None:
        for program_id, agreed in sorted(enrolments.items()):
            if self.state.enrolments.get(program_id) != agreed:
                self.record(
                    self.EnrolledInProgram,
                    provenance,
                    program_id=program_id,
                    kw=agreed.kw,
                    level_kw=agreed.level_kw,
                )
        for program_id in sorted(self.state.programs - enrolments.keys()):
            self.record(self.WithdrawnFromProgram, provenance, program_id=program_id)

    def start_maintenance(self, provenance: Provenance, *, reason: str) -> None:
        """Take the facility out of service with a reason."""
        if not reason.strip():
            raise ReasonRequired("maintenance needs a reason")
        if self.state.status == "deactivated":
            raise NotAllowedNow(f"{self.state.facility_id} is deactivated; reactivate it first")
        if self.state.status == "active":
            self.record(self.MaintenanceStarted, provenance, reason=reason)

    def end_maintenance(self, provenance: Provenance) -> None:
        """Put the facility back into service."""
        if self.state.status == "maintenance":
            self.record(self.MaintenanceEnded, provenance)

    def deactivate(
        self, provenance: Provenance, *, reason: str, unmeasured: Sequence[UUID] = ()
    ) -> tuple[UUID, ...]:
        """Take the facility out of service for good, and release its future reservations.

        Returns their DR events. Raises NotAllowedNow while it serves, while its building is not restored, or while the
        `unmeasured` DR events that it served need readings, which are refused afterwards.
        """
        if not reason.strip():
            raise ReasonRequired("deactivation needs a reason")
        if self.state.status == "deactivated":
            return ()
        self._refuse_while_serving(provenance.recorded_at)
        if unmeasured:
            raise NotAllowedNow(
                f"{self.state.facility_id} served DR event {unmeasured[0]}; deactivate it when that DR event is "
                "measured"
            )
        concerned = self._concerned(None)
        for dr_event_id in concerned:
            self.release(
                provenance, dr_event_id=dr_event_id, served=False, reason=f"it was deactivated: {reason}"
            )
        self.record(self.Deactivated, provenance, reason=reason)
        return concerned

    def _refuse_while_serving(self, now: datetime) -> None:
        facility_id = self.state.facility_id
        if not_restored := sorted(self.state.not_restored_from):
            raise NotAllowedNow(f"{facility_id} is not restored yet from DR event {not_restored[0]}")
        for held in self.state.reservations.values():
            if held.starts_at <= now:
                raise NotAllowedNow(
                    f"{facility_id} serves DR event {held.dr_event_id}; opt it out now, and deactivate it when that DR "
                    "event is completed"
                )

    def reactivate(self, provenance: Provenance, *, reason: str) -> None:
        """Put a deactivated facility into service again, as it was registered."""
        if not reason.strip():
            raise ReasonRequired("reactivation needs a reason")
        if self.state.status == "deactivated":
            self.record(self.Reactivated, provenance, reason=reason)

    def reserve(self, provenance: Provenance, wanted: Reservation) -> None:
        """Reserve the facility. Raises FacilityNotAvailable; the same window again records nothing."""
        if self.state.status != "active":
            raise FacilityNotAvailable(f"{self.state.facility_id} is {self.state.status}")
        existing = self.state.reservations.get(str(wanted.dr_event_id))
        if existing is not None and (existing.starts_at, existing.ends_at) == (
            wanted.starts_at,
            wanted.ends_at,
        ):
            return
        for other in self.state.reservations.values():
            if other.excludes(wanted):
                raise FacilityNotAvailable(
                    f"{self.state.facility_id} serves DR event {other.dr_event_id} until {other.ends_at}"
                )
        self.record(self.Reserved, provenance, **msgspec.structs.asdict(wanted))

    def release(
        self, provenance: Provenance, *, dr_event_id: UUID, served: bool, reason: str | None = None
    ) -> None:
        """Release the reservation; a repeated call records nothing."""
        reservation = self.state.reservations.get(str(dr_event_id))
        if reservation is not None:
            self.record(
                self.Released,
                provenance,
                dr_event_id=dr_event_id,
                starts_at=reservation.starts_at,
                ends_at=reservation.ends_at,
                served=served,
                reason=reason,
            )

    def await_restore(self, provenance: Provenance, *, dr_event_id: UUID) -> None:
        """Keep the facility from other DR events, because this one may have left its building curtailed."""
        if str(dr_event_id) not in self.state.not_restored_from:
            facility_id = self.state.facility_id
            self.record(self.RestoreAwaited, provenance, dr_event_id=dr_event_id, facility_id=facility_id)

    def confirm_restore(self, provenance: Provenance, *, dr_event_id: UUID) -> None:
        """Record that the building is restored. Without a preceding `await_restore` nothing is recorded."""
        if str(dr_event_id) in self.state.not_restored_from:
            held = {reservation.dr_event_id for reservation in self.state.reservations.values()}
            self.record(
                self.RestoreConfirmed,
                provenance,
                dr_event_id=dr_event_id,
                facility_id=self.state.facility_id,
                dr_event_ids=tuple(sorted(held - {dr_event_id})),
            )

    def opt_out(
        self, provenance: Provenance, *, dr_event_id: UUID | None, reason: str, by_owner: bool = False
    ) -> tuple[UUID, ...]:
        """Opt out of one DR event, or of all (None). Returns the reservations concerned; a repeat records nothing.

        An operator's takes the place of an owner's, who then cannot end it any more.
        """
        if not reason.strip():
            raise ReasonRequired("an opt-out needs a reason")
        concerned = self._concerned(dr_event_id)
        if not self._is_out(dr_event_id) or (not by_owner and self._is_out_by_owner(dr_event_id)):
            self.record(
                self.OptedOut,
                provenance,
                dr_event_id=dr_event_id,
                dr_event_ids=concerned,
                reason=reason,
                by_owner=by_owner,
            )
        return concerned

    def opt_in(
        self, provenance: Provenance, *, dr_event_id: UUID | None, reason: str, by_owner: bool = False
    ) -> tuple[UUID, ...]:
        """Opt in again. Returns the reservations concerned; without a preceding opt-out nothing is recorded.

        Raises NotAllowedNow if the owner would end what an operator began.
        """
        if not reason.strip():
            raise ReasonRequired("an opt-in needs a reason")
        state, concerned = self.state, self._concerned(dr_event_id)
        if dr_event_id is not None and state.opted_out:
            raise NotAllowedNow(f"{state.facility_id} opted out of every DR event; opt in to all again first")
        if by_owner and self._is_out(dr_event_id) and not self._is_out_by_owner(dr_event_id):
            raise NotAllowedNow(f"an operator opted {state.facility_id} out: ask the operator to end it")
        singles = state.opted_out_of_by_owner if by_owner else state.opted_out_of
        if self._is_out(dr_event_id) or (dr_event_id is None and singles):
            self.record(
                self.OptedIn,
                provenance,
                dr_event_id=dr_event_id,
                dr_event_ids=concerned,
                reason=reason,
                by_owner=by_owner,
            )
        return concerned

    def _is_out(self, dr_event_id: UUID | None) -> bool:
        return self.state.opted_out if dr_event_id is None else str(dr_event_id) in self.state.opted_out_of

    def _is_out_by_owner(self, dr_event_id: UUID | None) -> bool:
        if dr_event_id is None:
            return self.state.opted_out_by_owner
        return str(dr_event_id) in self.state.opted_out_of_by_owner

    def _concerned(self, dr_event_id: UUID | None) -> tuple[UUID, ...]:
        reserved = {held.dr_event_id for held in self.state.reservations.values()}
        if dr_event_id is None:
            return tuple(sorted(reserved))
        if dr_event_id not in reserved:
            raise NotAllowedNow(f"{self.state.facility_id} is not reserved for DR event {dr_event_id}")
        return (dr_event_id,)
