"""Descriptions of what changes of a facility or a program, one sentence each, with what was in force before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import BmsLink, Enrolment, Facility, FacilityState
from domain.program import Program, ProgramState
from projections.audit.differences import differences

_CREDENTIALS = "credentials_ref"


def _registered(change: Facility.Registered, before: FacilityState | None) -> str:
    return f"registered: time zone {change.tz}, weather cell {change.weather_cell}"


def _meter_installed(change: Facility.MeterInstalled, before: FacilityState | None) -> str:
    return f"meter {change.meter_id} added"


def _meter_removed(change: Facility.MeterRemoved, before: FacilityState | None) -> str:
    return f"meter {change.meter_id} removed"


def _zone_defined(change: Facility.ZoneDefined, before: FacilityState | None) -> str:
    known = before and before.zones.get(change.zone.zone_id)
    if known:
        return f"zone {change.zone.zone_id} changed: {differences(known, change.zone)}"
    return f"zone added: {differences(None, change.zone)}"


def _zone_retired(change: Facility.ZoneRetired, before: FacilityState | None) -> str:
    return f"zone {change.zone_id} removed"


def _bms_connected(change: Facility.BmsConnected, before: FacilityState | None) -> str:
    """Without where its credentials are stored: that they changed is told."""
    known = before.bms if before else None
    if known is None:
        return f"BMS connected: {differences(None, _without_credentials(change.bms))}"
    parts = [differences(_without_credentials(known), _without_credentials(change.bms))]
    if known.credentials_ref != change.bms.credentials_ref:
        parts.append("another reference to its credentials")
    return f"BMS changed: {', '.join(filter(None, parts))}"


def _without_credentials(bms: BmsLink) -> BmsLink:
    return replace(bms, **{_CREDENTIALS: None})


def _enrolled(change: Facility.EnrolledInProgram, before: FacilityState | None) -> str:
    known = before.enrolments.get(change.program_id) if before else None
    told = differences(known, Enrolment(kw=change.kw, level_kw=change.level_kw))
    verb = "enrolled in" if known is None else "enrolment changed in"
    return f"{verb} program {change.program_id}{f': {told}' if told else ''}"


def _withdrawn(change: Facility.WithdrawnFromProgram, before: FacilityState | None) -> str:
    return f"withdrawn from program {change.program_id}"


def _limits_agreed(change: Facility.LimitsAgreed, before: FacilityState | None) -> str:
    return f"limits agreed: {differences(before.limits if before else None, change.limits)}"


def _region_agreed(change: Facility.RegionAgreed, before: FacilityState | None) -> str:
    return f"region of public holidays: {change.region or 'that of its time zone'}"


def _location_agreed(change: Facility.LocationAgreed, before: FacilityState | None) -> str:
    known = before.locations.at(change.recorded_at) if before else None
    return f"location agreed: {differences(known, change.location)}"


def _groups_assigned(change: Facility.GroupsAssigned, before: FacilityState | None) -> str:
    return f"groups: {', '.join(change.groups) or 'none'}"


def _maintenance_started(change: Facility.MaintenanceStarted, before: FacilityState | None) -> str:
    return "maintenance started"


def _maintenance_ended(change: Facility.MaintenanceEnded, before: FacilityState | None) -> str:
    return "maintenance ended"


def _deactivated(change: Facility.Deactivated, before: FacilityState | None) -> str:
    return "deactivated"


def _reactivated(change: Facility.Reactivated, before: FacilityState | None) -> str:
    return "reactivated"


def _opted_out(change: Facility.OptedOut, before: FacilityState | None) -> str:
    return f"opted out of {_which(change)}{' by its owner' if change.by_owner else ''}"


def _opted_in(change: Facility.OptedIn, before: FacilityState | None) -> str:
    return f"opted in to {_which(change)}{' by its owner' if change.by_owner else ''}"


def _which(change: Facility.OptedOut | Facility.OptedIn) -> str:
    return "every DR event" if change.dr_event_id is None else f"DR event {change.dr_event_id}"


FACILITY_DESCRIPTIONS: dict[type[DomainEvent], Callable[[Any, FacilityState | None], str]] = {
    Facility.Registered: _registered,
    Facility.MeterInstalled: _meter_installed,
    Facility.MeterRemoved: _meter_removed,
    Facility.ZoneDefined: _zone_defined,
    Facility.ZoneRetired: _zone_retired,
    Facility.BmsConnected: _bms_connected,
    Facility.EnrolledInProgram: _enrolled,
    Facility.WithdrawnFromProgram: _withdrawn,
    Facility.LimitsAgreed: _limits_agreed,
    Facility.RegionAgreed: _region_agreed,
    Facility.LocationAgreed: _location_agreed,
    Facility.GroupsAssigned: _groups_assigned,
    Facility.MaintenanceStarted: _maintenance_started,
    Facility.MaintenanceEnded: _maintenance_ended,
    Facility.Deactivated: _deactivated,
    Facility.Reactivated: _reactivated,
    Facility.OptedOut: _opted_out,
    Facility.OptedIn: _opted_in,
}
"""Domain event -> what it says of the facility, given the state before."""


def program_text(change: DomainEvent, program_id: str, before: ProgramState | None) -> str:
    match change:
        case Program.Opened():
            return f"program {program_id} of utility {change.utility_id} opened"
        case Program.TermsAgreed():
            terms = before.terms if before else None
            return f"program {program_id} version {change.version}: {differences(terms, change.terms)}"
        case _:
            return type(change).__qualname__
