"""Handlers for commands on programs."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.program import AgreeProgram
from application.facility.program_contract import terms_of_entry
from domain.program import Program


def agree_program(command: AgreeProgram, context: DecisionContext) -> Decision:
    entry = command.entry
    program = context.program(entry.program_id) or Program.open(
        context.provenance, program_id=entry.program_id, utility_id=entry.utility_id
    )
    program.agree_terms(context.provenance, terms=terms_of_entry(entry))
    return Decision(program, reply=program.state.version)
