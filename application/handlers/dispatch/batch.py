"""Handlers for commands that report several BMS commands at once."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dispatch_batch import AttemptBmsCommands, RecordBmsSuccesses, RecordedAttempts
from domain.dispatch import CommandRecord


def attempt_bms_commands(command: AttemptBmsCommands, context: DecisionContext) -> Decision:
    dispatch = context.dispatch(command.dr_event_id, command.facility_id)
    before = dispatch.state
    fresh = tuple(
        command_id
        for command_id in command.command_ids
        if (record := before.commands.get(str(command_id))) is not None
        and record.is_open_in(command.issue)
        and record.attempts == 0
        and not _is_too_late(record, context)
    )
    for command_id in fresh:
        dispatch.attempt(context.provenance, command_id=command_id)
    return Decision(dispatch, reply=RecordedAttempts(before=before, command_ids=fresh))


def _is_too_late(record: CommandRecord, context: DecisionContext) -> bool:
    not_after = record.command.not_after
    return not_after is not None and context.now >= not_after


def record_bms_successes(command: RecordBmsSuccesses, context: DecisionContext) -> Decision:
    dispatch = context.dispatch(command.dr_event_id, command.facility_id)
    for success in command.successes:
        dispatch.command_succeeded(
            context.provenance,
            command_id=success.command_id,
            executed_at=success.executed_at,
            setpoint=success.setpoint,
            learned_by=success.learned_by,
        )
    return Decision(dispatch)
