"""Deterministic ids: each is a uuid5 of the natural key, so that a repeated request leads to the same stream."""

from datetime import datetime
from uuid import UUID, uuid5

NAMESPACE = UUID("6f6f1b52-7f0a-5d8e-9d55-6a1f0a4d2c11")


def facility_stream_id(facility_id: str) -> UUID:
    """The stream id of a facility."""
    return uuid5(NAMESPACE, f"facility:{facility_id}")


def program_stream_id(program_id: str) -> UUID:
    """The stream id of a program."""
    return uuid5(NAMESPACE, f"program:{program_id}")


def dr_event_id(utility_id: str, utility_event_id: str) -> UUID:
    """The id of the DR event with a utility's own event id; also its stream id."""
    return uuid5(NAMESPACE, f"dr-event:{utility_id}:{utility_event_id}")


def dispatch_id(dr_event: UUID, facility_id: str) -> UUID:
    """The id of the dispatch of one facility in one DR event; also its stream id."""
    return uuid5(dr_event, f"dispatch:{facility_id}")


def bms_command_id(
    dr_event: UUID, facility_id: str, zone_id: str, phase: str, *, plan_revision: int, round_number: int
) -> UUID:
    """The id by which a BMS recognizes a command: the same for every repeat, another for a new round."""
    return uuid5(dr_event, f"bms:{facility_id}:{zone_id}:{phase}:{plan_revision}:{round_number}")


def callback_id(dr_event: UUID, kind: str, occasion: int) -> UUID:
    """The id of a callback; `occasion` is the version of the DR event that caused it."""
    return uuid5(dr_event, f"callback:{kind}:{occasion}")


def forecast_stream_id(facility_id: str, cycle_start: datetime) -> UUID:
    """The stream id of a facility's forecast for one cycle."""
    return uuid5(NAMESPACE, f"forecast:{facility_id}:{cycle_start.isoformat()}")


def forecast_id(facility_id: str, cycle_start: datetime, input_hash: str) -> UUID:
    """The id of a forecast, which depends on its inputs."""
    return uuid5(NAMESPACE, f"forecast:{facility_id}:{cycle_start.isoformat()}:{input_hash}")


def correction_cause_id(correction_id: int) -> UUID:
    """The causation id of what follows from a correction of readings."""
    return uuid5(NAMESPACE, f"telemetry-correction:{correction_id}")


def followed_command_id(domain_event: UUID, index: int) -> UUID:
    """The id of the command that a saga derives from a domain event."""
    return uuid5(domain_event, f"command:{index}")
