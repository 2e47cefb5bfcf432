"""Entries of a portfolio file made from what is recorded: posting one unchanged records nothing."""

import msgspec
from msgspec.structs import replace

from application.facility.portfolio_entries import (
    BaselineEntry,
    BmsEntry,
    EnrolmentEntry,
    FacilityEntry,
    MeterEntry,
    ProgramEntry,
    ZoneEntry,
)
from domain.event_sourcing.decoders import converted
from domain.facility import Coordinates, FacilityState, Zone
from domain.program import Terms


def entry_of_facility(state: FacilityState, coordinates: Coordinates | None) -> FacilityEntry:
    """The last agreement with a facility. `coordinates`: as they stand now, in the log or beside it."""
    location, limits, bms = state.locations.agreed_last, state.limits, state.bms
    entry = FacilityEntry(
        facility_id=state.facility_id,
        tz=location.tz,
        latitude=None if coordinates is None else coordinates.latitude,
        longitude=None if coordinates is None else coordinates.longitude,
        weather_cell=location.weather_cell,
        region=location.region,
        meters=tuple(MeterEntry(meter_id=one) for one in sorted(state.meters)),
        zones=tuple(_zone(one) for one in state.zones.values()),
        bms=BmsEntry(address="") if bms is None else converted(bms, BmsEntry, from_attributes=True),
        programs=tuple(
            EnrolmentEntry(program_id=name, kw=one.kw, level_kw=one.level_kw)
            for name, one in state.enrolments.items()
        ),
        groups=tuple(sorted(state.groups)),
    )
    return entry if limits is None else replace(entry, **msgspec.structs.asdict(limits))


def without_credentials(entry: FacilityEntry) -> FacilityEntry:
    """Without the reference to those of its BMS. Posted by who may not set one, it leaves the recorded one."""
    return replace(entry, bms=replace(entry.bms, credentials_ref=None))


def _zone(zone: Zone) -> ZoneEntry:
    return converted(zone, ZoneEntry, from_attributes=True)


def entry_of_program(program_id: str, utility_id: str, terms: Terms) -> ProgramEntry:
    """A program with these terms."""
    stated = {name: getattr(terms, name) for name in terms.__struct_fields__ if name != "baseline"}
    baseline = BaselineEntry(method=terms.baseline.method, parameters=terms.baseline.parameters)
    return ProgramEntry(program_id=program_id, utility_id=utility_id, baseline=baseline, **stated)
