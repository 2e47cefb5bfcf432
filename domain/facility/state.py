"""The state of a facility, and the values in it."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from domain.facility.location import Location, Locations
from domain.time_series.windows import local_date

FacilityStatus = Literal["active", "maintenance", "deactivated"]
Strategy = Literal["setpoint_offset", "shed_level"]

MOST_ZONES = 64
"""Of a facility. The largest decision on a dispatch of so many fits into one save: all of them have drifted."""
MOST_METERS = 100
MOST_PROGRAMS = 50
MOST_GROUPS = 20
"""Of a facility."""


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """A controllable zone. Its load reduction is assumed linear in the strategy, up to `max_magnitude`."""

    zone_id: str
    curtailable_kw: float
    strategy: Strategy
    max_magnitude: float
    """Kelvin for `setpoint_offset`, percent for `shed_level`. Below 0 the setpoint is lowered: the zone is heated."""
    comfort_limit_c: float
    """A setpoint is never raised above it."""
    minimum_off_s: int
    longest_curtailment_s: int
    rebound_ramp_s: int
    lower_comfort_limit_c: float | None = None
    """A setpoint is never lowered below it; set where the zone is heated."""


def within_comfort(
    offset_k: float, setpoint_c: float, *, lower_c: float | None, upper_c: float | None
) -> float:
    """The part of `offset_k` that keeps the setpoint within its limits; None: no limit on that side.

    A positive offset (cooling) is bounded by the upper limit, a negative one (heating) by the lower. A setpoint that is
    beyond the limit already is not moved.
    """
    if offset_k >= 0:
        return offset_k if upper_c is None else max(0.0, min(offset_k, upper_c - setpoint_c))
    return offset_k if lower_c is None else min(0.0, max(offset_k, lower_c - setpoint_c))


class BmsLink(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the building management system. The credentials themselves are stored elsewhere."""

    address: str
    profile: str
    credentials_ref: str | None = None
    soap_traceparent: bool = False
    """Whether the envelopes of its calls name the trace."""

    def has_same_access(self, other: BmsLink | None) -> bool:
        """True if a call goes to the same address with the same credentials."""
        if other is None:
            return False
        return (self.address, self.credentials_ref) == (other.address, other.credentials_ref)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits agreed with the facility."""

    dr_events_per_day: int
    dr_events_per_season: int
    longest_dr_event_s: int
    notification_lead_s: int


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """The agreement of a facility's enrolment in one program. Powers are KilowattStrings."""

    kw: str | None = None
    """The enrolled power; None: not agreed."""
    level_kw: str | None = None
    """Its own firm service level; None: that of the program."""


RESTORED_WITHIN = timedelta(minutes=5)
"""After the end of a DR event: its building is prepared for no other one before."""


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """The half-open window in which the facility serves one DR event, and when its building is prepared for it."""

    dr_event_id: UUID
    prepared_from: datetime
    starts_at: datetime
    ends_at: datetime

    def excludes(self, other: Reservation) -> bool:
        """True if one is to be prepared before the other is restored: a building holds the setpoints of one."""
        return (
            self.prepared_from < other.ends_at + RESTORED_WITHIN
            and other.prepared_from < self.ends_at + RESTORED_WITHIN
            and self.dr_event_id != other.dr_event_id
        )


class Coordinates(msgspec.Struct, frozen=True):
    """A point in decimal degrees."""

    latitude: float
    longitude: float


class FacilityState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a facility."""

    facility_id: str
    tz: str
    """`tz`, `weather_cell` and `region` are those from the beginning; `locations` says what is in force when."""
    latitude: float | None
    longitude: float | None
    """None where they do not stand in the log (ADR 0071)."""
    weather_cell: str
    status: FacilityStatus = "active"
    meters: frozenset[str] = frozenset()
    zones: dict[str, Zone] = {}
    bms: BmsLink | None = None
    enrolments: dict[str, Enrolment] = {}
    """By program id."""
    limits: Limits | None = None
    region: str | None = None
    """The region whose public holidays apply, ISO 3166; None: that of its time zone."""
    later_locations: tuple[Location, ...] = ()
    """Agreed since, in the order of their first days."""
    groups: frozenset[str] = frozenset()
    """The operator's own labels, such as a customer or a region. No decision depends on them."""
    reservations: dict[str, Reservation] = {}
    served: dict[str, datetime] = {}
    """DR event id -> its start, for the limits per day and season."""
    served_until: dict[str, datetime] = {}
    """DR event id -> its end as reserved, of those in `served`."""
    left_before_start: frozenset[str] = frozenset()
    """Ids of reserved DR events that it opted out of before their start: they are in `served` until the release."""
    opted_out: bool = False
    """Opted out of every future DR event, until it opts in again."""
    opted_out_by_owner: bool = False
    """Whether it is its owner who opted out of every future DR event, and so may end that."""
    opted_out_of: frozenset[str] = frozenset()
    """Ids of single DR events."""
    opted_out_of_by_owner: frozenset[str] = frozenset()
    """Those of them that its owner opted out of."""
    not_restored_from: frozenset[str] = frozenset()
    """Ids of DR events that may have left its building curtailed; no other one gets it meanwhile."""
    utilities: dict[str, str] = {}
    """DR event id -> its utility, of those in `reservations`, `served` and `not_restored_from`."""

    @property
    def programs(self) -> AbstractSet[str]:
        """The ids of the programs that it is enrolled in."""
        return self.enrolments.keys()

    @property
    def locations(self) -> Locations:
        first = Location(tz=self.tz, weather_cell=self.weather_cell, region=self.region)
        return Locations(first, self.later_locations)

    def tz_at(self, moment: datetime) -> str:
        """Its time zone (IANA) in force at that moment."""
        return self.locations.at(moment).tz

    def region_on(self, day: date) -> str | None:
        """The region whose public holidays apply on that local day; None: that of its time zone."""
        return self.locations.on(day).region

    def serves(self, dr_event_id: UUID) -> bool:
        """True if it is reserved for that DR event, has not opted out, and no other restore is pending."""
        reserved = str(dr_event_id) in self.reservations
        return (
            reserved
            and not self.opted_out_of_this(dr_event_id)
            and not self.awaits_restore_of_other(dr_event_id)
        )

    def awaits_restore_of_other(self, dr_event_id: UUID) -> bool:
        """True if its building is not yet restored from another DR event."""
        return bool(self.not_restored_from - {str(dr_event_id)})

    def is_of(self, utility_id: str, dr_event_id: UUID | str) -> bool:
        """True if a DR event that it knows belongs to that utility; False where that is not recorded."""
        return self.utilities.get(str(dr_event_id)) == utility_id

    def event_days(self, tz: ZoneInfo, *, without: UUID) -> frozenset[date]:
        """The local days in `tz` of the DR events that it served or serves, without that one."""
        return frozenset(
            day
            for key, starts_at in self.served.items()
            if key != str(without) and key not in self.left_before_start
            for day in _local_days(starts_at, self.served_until.get(key, starts_at), tz)
        )

    def served_between(self, since: datetime, now: datetime) -> tuple[UUID, ...]:
        """The DR events that it served or serves, of those begun by `now` and to end after `since`."""
        return tuple(
            UUID(key)
            for key, ends_at in self.served_until.items()
            if ends_at > since and self.served[key] <= now
        )

    def opted_out_of_this(self, dr_event_id: UUID) -> bool:
        """True if it has opted out of that DR event, or of all."""
        return self.opted_out or str(dr_event_id) in self.opted_out_of


def _local_days(starts_at: datetime, ends_at: datetime, tz: ZoneInfo) -> Iterator[date]:
    """From the day of the start to that of the last moment."""
    day, last = local_date(starts_at, tz), local_date(ends_at - timedelta.resolution, tz)
    yield day
    while day < last:
        day += timedelta(days=1)
        yield day
