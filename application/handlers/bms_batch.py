"""Handlers of what is reported of several BMS commands at once."""

from application.commands.bms_batch import AttemptBmsCommands, RecordBmsSuccesses
from application.deciding import Deciding, Decision


def attempt_bms_commands(command: AttemptBmsCommands, deciding: Deciding) -> Decision:
    dispatch = deciding.dispatch(command.dr_event_id, command.facility_id)
    for command_id in command.command_ids:
        dispatch.attempt(deciding.provenance, command_id=command_id)
    return Decision(dispatch)


def record_bms_successes(command: RecordBmsSuccesses, deciding: Deciding) -> Decision:
    dispatch = deciding.dispatch(command.dr_event_id, command.facility_id)
    for success in command.successes:
        dispatch.command_succeeded(
            deciding.provenance,
            command_id=success.command_id,
            executed_at=success.executed_at,
            setpoint=success.setpoint,
            learned_by=success.learned_by,
        )
    return Decision(dispatch)
