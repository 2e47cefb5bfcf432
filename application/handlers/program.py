"""Handlers for commands on programs."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.program import AgreeProgram
from domain.program import Program, Terms


def agree_program(command: AgreeProgram, context: DecisionContext) -> Decision:
    entry = command.entry
    program = context.program(entry.program_id) or Program.open(
        context.provenance, program_id=entry.program_id, utility_id=entry.utility_id
    )
    program.agree_terms(
        context.provenance,
        terms=Terms(
            rank=entry.rank,
            baseline_method=entry.baseline_method,
            notification_lead_s=entry.notification_lead_s,
            prepare_lead_s=entry.prepare_lead_s,
            minimum_duration_s=entry.minimum_duration_s,
            maximum_duration_s=entry.maximum_duration_s,
            acceptable_share=entry.acceptable_share,
            shortfall_policy=entry.shortfall_policy,
            forecast_guardrail=entry.forecast_guardrail,
            two_phase=entry.two_phase,
            rate_per_kw=entry.rate_per_kw,
            rate_per_kwh=entry.rate_per_kwh,
        ),
    )
    return Decision(program, reply=program.state.version)
