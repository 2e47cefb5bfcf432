"""Translation between the recorded intents of a dispatch and BMS requests."""

from application.ports.dispatch.building_control import BmsConnection, ZoneCommand
from application.ports.dispatch.building_control import Setpoint as BmsSetpoint
from application.ports.dispatch.requested_work import BmsWork
from domain.dispatch import BmsCommand, DispatchState, Setpoint


def connection_of(dispatch: DispatchState) -> BmsConnection:
    return BmsConnection(
        facility_id=dispatch.facility_id,
        address=dispatch.bms.address,
        profile=dispatch.bms.profile,
        credentials_ref=dispatch.bms.credentials_ref,
        soap_traceparent=dispatch.bms.soap_traceparent,
    )


def zone_command(work: BmsWork, command: BmsCommand, previous: Setpoint | None) -> ZoneCommand:
    """The recorded intent as a BMS request; `previous` is the setpoint that prepare reported."""
    return ZoneCommand(
        command_id=command.command_id,
        dr_event_id=work.dr_event_id,
        facility_id=work.facility_id,
        zone_id=command.zone_id,
        phase=command.phase,
        plan_revision=command.plan_revision,
        round=command.round,
        strategy=command.strategy,
        magnitude=command.magnitude,
        restore_to=_to_bms(command.restore_to),
        previous=_to_bms(previous),
        expires_at=command.expires_at,
    )


def from_bms(setpoint: BmsSetpoint) -> Setpoint:
    return Setpoint(value=setpoint.value, unit=setpoint.unit)


def _to_bms(setpoint: Setpoint | None) -> BmsSetpoint | None:
    return None if setpoint is None else BmsSetpoint(value=setpoint.value, unit=setpoint.unit)
