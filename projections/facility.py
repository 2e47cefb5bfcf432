"""The read model of facilities: master data, reservations, and the latest dispatch of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.dispatch import Dispatch, DispatchState, DispatchStatus
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import (
    Coordinates,
    Facility,
    FacilityState,
    FacilityStatus,
    Limits,
    Location,
    Locations,
    Reservation,
    Zone,
)
from domain.identifiers import facility_stream_id
from projections.engine.division import FacilityDivision
from projections.engine.projection import FilterKind, Rows, existing


class LatestDispatch(msgspec.Struct, frozen=True, kw_only=True):
    """The dispatch planned last for the facility."""

    dispatch_id: UUID
    dr_event_id: UUID
    status: DispatchStatus
    starts_at: datetime
    ends_at: datetime
    target_kw: float


class EnrolledPower(msgspec.Struct, frozen=True, kw_only=True):
    """The power that is enrolled in a program from a moment on; None: none was agreed, or it was withdrawn."""

    program_id: str
    since: datetime
    kw: str | None


class FacilityRow(msgspec.Struct, frozen=True, kw_only=True, tag="facility"):
    """A facility. It never contains credentials, nor their location."""

    facility_id: str
    tz: str
    """`tz`, `weather_cell` and `region` are those from the beginning; `locations` says what is in force when."""
    latitude: float | None
    longitude: float | None
    """None where they do not stand in the log; see `with_coordinates`."""
    weather_cell: str
    region: str | None = None
    """The region whose public holidays apply, ISO 3166; None: that of its time zone."""
    later_locations: tuple[Location, ...] = ()
    status: FacilityStatus
    status_reason: str | None = None
    """Why it is in maintenance or deactivated."""
    meters: tuple[str, ...] = ()
    zones: tuple[Zone, ...] = ()
    curtailable_kw: float = 0.0
    """The declared reduction, summed over its zones."""
    bms_address: str | None = None
    bms_profile: str | None = None
    programs: tuple[str, ...] = ()
    enrolled: tuple[EnrolledPower, ...] = ()
    """Every change of it, the oldest first."""
    groups: tuple[str, ...] = ()
    """The operator's own labels."""
    limits: Limits | None = None
    reservations: tuple[Reservation, ...] = ()
    """In order of their starts."""
    dr_events_served: int = 0
    """In the last 800 days, and those not restored yet."""
    opted_out: bool = False
    """Opted out of every future DR event."""
    opted_out_by_owner: bool = False
    """Its owner did that, and may end it."""
    opted_out_of: tuple[UUID, ...] = ()
    """Single DR events."""
    awaits_restore: bool = False
    """Its building may be curtailed still: no other DR event gets it meanwhile."""
    latest_dispatch: LatestDispatch | None = None
    registered_at: datetime
    changed_at: datetime

    @property
    def locations(self) -> Locations:
        first = Location(tz=self.tz, weather_cell=self.weather_cell, region=self.region)
        return Locations(first, self.later_locations)

    def enrolled_kw(self, program_id: str, at: datetime) -> str | None:
        """The power that was enrolled in the program then."""
        of_program = (one for one in reversed(self.enrolled) if one.program_id == program_id)
        return next((one.kw for one in of_program if one.since <= at), None)

    @property
    def location_history(self) -> tuple[Location, ...]:
        """All that were agreed, where there was a change."""
        return (self.locations.first, *self.later_locations) if self.later_locations else ()


class DispatchStateRow(msgspec.Struct, frozen=True, kw_only=True, tag="dispatch"):
    """Internal row: the state of the facility's latest dispatch."""

    dispatch_id: UUID
    state: DispatchState


class FacilityStateRow(msgspec.Struct, frozen=True, kw_only=True, tag="state"):
    """Internal row: the aggregate's own state."""

    stream_id: UUID
    state: FacilityState


FacilitiesRow = FacilityRow | DispatchStateRow | FacilityStateRow


def key_of(facility_id: str) -> str:
    """The facility's stream id, the one id that all its domain events have."""
    return str(facility_stream_id(facility_id))


def with_coordinates(row: FacilityRow, stored: Mapping[str, Coordinates | None]) -> FacilityRow:
    """The row with the coordinates that stand beside the log; without those that were forgotten or never given.

    Of a facility that is not stored there, those of the log count.
    """
    found = stored.get(row.facility_id, _recorded_coordinates(row))
    if found is None:
        return replace(row, latitude=None, longitude=None)
    return replace(row, latitude=found.latitude, longitude=found.longitude)


def _recorded_coordinates(row: FacilityRow) -> Coordinates | None:
    if row.latitude is None or row.longitude is None:
        return None
    return Coordinates(row.latitude, row.longitude)


def _dispatch_key(dispatch_id: UUID) -> str:
    return f"dispatch:{dispatch_id}"


def _state_key(stream_id: UUID) -> str:
    return f"state:{stream_id}"


class FacilitiesProjection(FacilityDivision):
    """The projection behind the read model `facilities`."""

    name: ClassVar[str] = "facilities"
    version: ClassVar[int] = 6
    row_type: ClassVar[Any] = FacilitiesRow
    newest_first: ClassVar[bool] = False
    concerns: ClassVar[tuple[type[DomainEvent], ...]] = (Facility.Event, Dispatch.Event)
    facts: ClassVar[None] = None
    filters: ClassVar[Mapping[str, FilterKind]] = {
        "status": "equals",
        "programs": "contains",
        "groups": "contains",
    }

    def key(self, row: FacilitiesRow) -> str:
        match row:
            case FacilityRow():
                return key_of(row.facility_id)
            case DispatchStateRow():
                return _dispatch_key(row.dispatch_id)
            case FacilityStateRow():
                return _state_key(row.stream_id)

    def sort_key(self, row: FacilitiesRow) -> str | None:
        return row.facility_id if isinstance(row, FacilityRow) else None

    def tenant(self, row: FacilitiesRow) -> str | None:
        return None

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        if isinstance(domain_event, Facility.Event):
            return [str(domain_event.originator_id), _state_key(domain_event.originator_id)]
        if isinstance(domain_event, Dispatch.Planned):
            return [key_of(domain_event.facility_id)]
        if isinstance(domain_event, Dispatch.Event):
            return [_dispatch_key(domain_event.originator_id)]
        return []

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[FacilitiesRow]) -> None:
        if isinstance(domain_event, Facility.Registered):
            _put_facility(domain_event, domain_event.initial_state(), None, rows)
        elif isinstance(domain_event, Facility.Event):
            state_row = existing(rows, _state_key(domain_event.originator_id), domain_event)
            row = existing(rows, str(domain_event.originator_id), domain_event)
            if isinstance(state_row, FacilityStateRow) and isinstance(row, FacilityRow):
                _put_facility(domain_event, domain_event.evolve(state_row.state), row, rows)
        elif isinstance(domain_event, Dispatch.Planned):
            _new_dispatch(domain_event, rows)
        elif isinstance(domain_event, Dispatch.Event):
            _dispatch_changed(domain_event, rows)


def _put_facility(
    domain_event: Facility.Event, state: FacilityState, row: FacilityRow | None, rows: Rows[FacilitiesRow]
) -> None:
    # Without what only a decision reads: the rows stay those of before, so that no rebuild is needed.
    stored = replace(state, utilities={})
    rows.put(FacilityStateRow(stream_id=domain_event.originator_id, state=stored))
    zones = tuple(zone for _, zone in sorted(state.zones.items()))
    rows.put(
        FacilityRow(
            facility_id=state.facility_id,
            tz=state.tz,
            latitude=state.latitude,
            longitude=state.longitude,
            weather_cell=state.weather_cell,
            region=state.region,
            later_locations=state.later_locations,
            status=state.status,
            status_reason=_status_reason(domain_event, row),
            meters=tuple(sorted(state.meters)),
            zones=zones,
            curtailable_kw=math.fsum(zone.curtailable_kw for zone in zones),
            bms_address=state.bms.address if state.bms else None,
            bms_profile=state.bms.profile if state.bms else None,
            programs=tuple(sorted(state.programs)),
            enrolled=_enrolled(domain_event, row),
            groups=tuple(sorted(state.groups)),
            limits=state.limits,
            reservations=tuple(
                sorted(state.reservations.values(), key=lambda reservation: reservation.starts_at)
            ),
            dr_events_served=len(state.served),
            opted_out=state.opted_out,
            opted_out_by_owner=state.opted_out_by_owner,
            opted_out_of=tuple(UUID(key) for key in sorted(state.opted_out_of)),
            awaits_restore=bool(state.not_restored_from),
            latest_dispatch=row.latest_dispatch if row else None,
            registered_at=row.registered_at if row else domain_event.recorded_at,
            changed_at=domain_event.recorded_at,
        )
    )


def _enrolled(domain_event: Facility.Event, row: FacilityRow | None) -> tuple[EnrolledPower, ...]:
    before = row.enrolled if row else ()
    match domain_event:
        case Facility.EnrolledInProgram():
            kw = domain_event.kw
        case Facility.WithdrawnFromProgram():
            kw = None
        case _:
            return before
    change = EnrolledPower(program_id=domain_event.program_id, since=domain_event.recorded_at, kw=kw)
    return (*before, change)


def _status_reason(domain_event: Facility.Event, row: FacilityRow | None) -> str | None:
    if isinstance(domain_event, Facility.MaintenanceStarted | Facility.Deactivated):
        return domain_event.reason
    if isinstance(domain_event, Facility.MaintenanceEnded | Facility.Reactivated) or row is None:
        return None
    return row.status_reason


def _new_dispatch(domain_event: Dispatch.Planned, rows: Rows[FacilitiesRow]) -> None:
    row = existing(rows, key_of(domain_event.facility_id), domain_event)
    if not isinstance(row, FacilityRow):
        return
    if row.latest_dispatch is not None:
        rows.delete(_dispatch_key(row.latest_dispatch.dispatch_id))
    rows.put(DispatchStateRow(dispatch_id=domain_event.originator_id, state=domain_event.initial_state()))
    latest = LatestDispatch(
        dispatch_id=domain_event.originator_id,
        dr_event_id=domain_event.dr_event_id,
        status="planned",
        starts_at=domain_event.starts_at,
        ends_at=domain_event.ends_at,
        target_kw=domain_event.target_kw,
    )
    rows.put(replace(row, latest_dispatch=latest))


def _dispatch_changed(domain_event: Dispatch.Event, rows: Rows[FacilitiesRow]) -> None:
    state_row = rows.get(_dispatch_key(domain_event.originator_id))
    if not isinstance(state_row, DispatchStateRow):
        return  # A newer dispatch is the latest one.
    state = domain_event.evolve(state_row.state)
    rows.put(replace(state_row, state=state))
    row = rows.get(key_of(state.facility_id))
    if isinstance(row, FacilityRow) and row.latest_dispatch:
        latest = replace(
            row.latest_dispatch,
            status=state.status,
            starts_at=state.starts_at,
            ends_at=state.ends_at,
            target_kw=state.target_kw,
        )
        if latest != row.latest_dispatch:
            rows.put(replace(row, latest_dispatch=latest))
