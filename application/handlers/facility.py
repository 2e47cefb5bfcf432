"""Handlers for commands on facilities."""

from collections.abc import Iterable
from uuid import UUID

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dispatch import NoteRestore
from application.commands.facility import (
    DeactivateFacility,
    Deactivation,
    EndMaintenance,
    OptInFacility,
    OptingOut,
    OptOutFacility,
    ReactivateFacility,
    RegisterFacility,
    StartMaintenance,
)
from application.facility.portfolio_entries import EnrolmentEntry, FacilityEntry
from domain.dispatch import MEASURED_WITHIN, Dispatch
from domain.errors import BmsAccessDenied, UnknownFacility
from domain.facility import BmsLink, Enrolment, Facility, Limits, Zone
from domain.units import decimal_string


def register_facility(command: RegisterFacility, context: DecisionContext) -> Decision:
    entry = command.entry
    facility = context.facility(entry.facility_id) or Facility.register(
        context.provenance,
        facility_id=entry.facility_id,
        tz=entry.tz,
        latitude=None,
        longitude=None,
        weather_cell=entry.weather_cell,
        region=entry.region,
    )
    bms = _bms(command, facility.state.bms)
    facility.agree(
        context.provenance,
        meters=frozenset(meter.meter_id for meter in entry.meters),
        zones=_zones(entry),
        bms=bms,
        enrolments={one.program_id: _enrolment(one) for one in entry.enrolments},
        limits=_limits(entry),
        groups=frozenset(entry.groups),
    )
    facility.agree_location(
        context.provenance,
        tz=entry.tz,
        weather_cell=entry.weather_cell,
        region=entry.region,
        from_day=entry.in_force_from,
    )
    return Decision(facility, reply=len(facility.pending_events))


def _bms(command: RegisterFacility, recorded: BmsLink | None) -> BmsLink:
    """The BMS to connect. Who may not set credentials is not shown them either (ADR 0108): without a reference the
    recorded one stays. Raises BmsAccessDenied."""
    entry = command.entry.bms
    reference = entry.credentials_ref
    if not command.may_connect_bms and reference is None and recorded is not None:
        reference = recorded.credentials_ref
    bms = BmsLink(
        address=entry.address,
        profile=entry.profile,
        credentials_ref=reference,
        soap_traceparent=entry.soap_traceparent,
    )
    if not command.may_connect_bms and not bms.has_same_access(recorded):
        raise BmsAccessDenied(
            "address and credentials of a BMS are set with a key of role admin, or by `gridproof facilities import`; "
            "to change something else, repeat the recorded address and leave the credentials out"
        )
    return bms


def start_maintenance(command: StartMaintenance, context: DecisionContext) -> Decision:
    facility = _existing(command.facility_id, context)
    facility.start_maintenance(context.provenance, reason=command.reason)
    return Decision(facility)


def end_maintenance(command: EndMaintenance, context: DecisionContext) -> Decision:
    facility = _existing(command.facility_id, context)
    facility.end_maintenance(context.provenance)
    return Decision(facility)


def deactivate_facility(command: DeactivateFacility, context: DecisionContext) -> Decision:
    """Deactivate, and leave all future dispatches in the same transaction: a shortfall is shared by the others."""
    facility = _existing(command.facility_id, context)
    concerned = facility.deactivate(
        context.provenance, reason=command.reason, unmeasured=_unmeasured(facility, context)
    )
    dispatches = _dispatches(command.facility_id, concerned, context)
    for dispatch in dispatches:
        reason = f"the facility was deactivated: {command.reason}"
        dispatch.leave(context.provenance, cause="opted_out", reason=reason)
    reply = Deactivation(facility_id=command.facility_id, dr_event_ids=concerned)
    return Decision(facility, *dispatches, reply=reply)


def _unmeasured(facility: Facility, context: DecisionContext) -> list[UUID]:
    """The DR events that it served lately and that are not measured yet. Readings that come then are needed."""
    state = facility.state
    served = state.served_between(context.now - MEASURED_WITHIN, context.now)
    dispatches = [one.state for one in _dispatches(state.facility_id, served, context)]
    return [one.dr_event_id for one in dispatches if one.was_committed and not one.measured]


def reactivate_facility(command: ReactivateFacility, context: DecisionContext) -> Decision:
    facility = _existing(command.facility_id, context)
    facility.reactivate(context.provenance, reason=command.reason)
    return Decision(facility)


def note_restore(command: NoteRestore, context: DecisionContext) -> Decision:
    """Record the restore state from the dispatch as it is now, not as it was when the command was issued."""
    facility = _existing(command.facility_id, context)
    dispatch = context.dispatch(command.dr_event_id, command.facility_id)
    if dispatch.state.status == "restore_failed":
        facility.await_restore(context.provenance, dr_event_id=command.dr_event_id)
    elif dispatch.state.is_final:
        facility.confirm_restore(context.provenance, dr_event_id=command.dr_event_id)
    return Decision(facility)


def opt_out_facility(command: OptOutFacility, context: DecisionContext) -> Decision:
    """Opt out, and leave all current dispatches in the same transaction."""
    facility = _existing(command.facility_id, context)
    concerned = facility.opt_out(
        context.provenance,
        dr_event_id=command.dr_event_id,
        reason=command.reason,
        by_owner=command.by_owner,
    )
    dispatches = _dispatches(command.facility_id, concerned, context)
    for dispatch in dispatches:
        dispatch.leave(context.provenance, cause="opted_out", reason=command.reason)
    reply = OptingOut(facility_id=command.facility_id, opted_out=True, dr_event_ids=concerned)
    return Decision(facility, *dispatches, reply=reply)


def opt_in_facility(command: OptInFacility, context: DecisionContext) -> Decision:
    """Opt in. Replanning of the affected DR events follows from the event."""
    facility = _existing(command.facility_id, context)
    concerned = facility.opt_in(
        context.provenance,
        dr_event_id=command.dr_event_id,
        reason=command.reason,
        by_owner=command.by_owner,
    )
    reply = OptingOut(facility_id=command.facility_id, opted_out=False, dr_event_ids=concerned)
    return Decision(facility, reply=reply)


def _dispatches(facility_id: str, dr_event_ids: Iterable[UUID], context: DecisionContext) -> list[Dispatch]:
    """The existing dispatches: a DR event may not be planned yet, or without this facility."""
    found = []
    for dr_event_id in dr_event_ids:
        dr_event = context.find_dr_event(dr_event_id)
        if dr_event is not None and facility_id in dr_event.state.dispatched:
            found.append(context.dispatch(dr_event_id, facility_id))
    return found


def _existing(facility_id: str, context: DecisionContext) -> Facility:
    facility = context.facility(facility_id)
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
            lower_comfort_limit_c=zone.lower_comfort_limit_c,
            minimum_off_s=zone.minimum_off_s,
            longest_curtailment_s=zone.longest_curtailment_s,
            rebound_ramp_s=zone.rebound_ramp_s,
        )
        for zone in entry.zones
    )


def _enrolment(entry: EnrolmentEntry) -> Enrolment:
    return Enrolment(
        kw=None if entry.kw is None else decimal_string(entry.kw),
        level_kw=None if entry.level_kw is None else decimal_string(entry.level_kw),
    )


def _limits(entry: FacilityEntry) -> Limits:
    return Limits(
        dr_events_per_day=entry.dr_events_per_day,
        dr_events_per_season=entry.dr_events_per_season,
        longest_dr_event_s=entry.longest_dr_event_s,
        notification_lead_s=entry.notification_lead_s,
    )
