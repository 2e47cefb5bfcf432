"""Handlers of the commands on facilities."""

from application.commands.facility import EndMaintenance, RegisterFacility, StartMaintenance
from application.deciding import Deciding, Decision
from application.portfolio import FacilityEntry
from domain.errors import UnknownFacility
from domain.facility import BmsLink, Facility, Limits, Zone


def register_facility(command: RegisterFacility, deciding: Deciding) -> Decision:
    entry = command.entry
    facility = deciding.facility(entry.facility_id) or Facility.register(
        deciding.provenance,
        facility_id=entry.facility_id,
        tz=entry.tz,
        latitude=entry.latitude,
        longitude=entry.longitude,
        weather_cell=entry.weather_cell,
    )
    facility.agree(
        deciding.provenance,
        meters=frozenset(meter.meter_id for meter in entry.meters),
        zones=_zones(entry),
        bms=BmsLink(
            address=entry.bms.address, profile=entry.bms.profile, credentials_ref=entry.bms.credentials_ref
        ),
        programs=frozenset(entry.programs),
        limits=_limits(entry),
    )
    return Decision(facility, reply=len(facility.pending_events))


def start_maintenance(command: StartMaintenance, deciding: Deciding) -> Decision:
    facility = _known(command.facility_id, deciding)
    facility.start_maintenance(deciding.provenance, reason=command.reason)
    return Decision(facility)


def end_maintenance(command: EndMaintenance, deciding: Deciding) -> Decision:
    facility = _known(command.facility_id, deciding)
    facility.end_maintenance(deciding.provenance)
    return Decision(facility)


def _known(facility_id: str, deciding: Deciding) -> Facility:
    facility = deciding.facility(facility_id)
    if facility is None:
        raise UnknownFacility(f"no facility {facility_id}; import it with `gridproof facilities import FILE`")
    return facility


def _zones(entry: FacilityEntry) -> tuple[Zone, ...]:
    return tuple(
        Zone(
            zone_id=zone.zone_id,
            curtailable_kw=zone.curtailable_kw,
            strategy=zone.strategy,
            max_magnitude=zone.max_magnitude,
            comfort_limit_c=zone.comfort_limit_c,
            minimum_off_s=zone.minimum_off_s,
            longest_curtailment_s=zone.longest_curtailment_s,
            rebound_ramp_s=zone.rebound_ramp_s,
        )
        for zone in entry.zones
    )


def _limits(entry: FacilityEntry) -> Limits:
    return Limits(
        dr_events_per_day=entry.dr_events_per_day,
        dr_events_per_season=entry.dr_events_per_season,
        longest_dr_event_s=entry.longest_dr_event_s,
        notification_lead_s=entry.notification_lead_s,
    )
