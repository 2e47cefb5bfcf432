"""Handlers for commands on programs."""

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import ProgramEntry
from domain.program import BaselineTerms, Program, Terms
from domain.units import decimal_string


def agree_program(command: AgreeProgram, context: DecisionContext) -> Decision:
    entry = command.entry
    program = context.program(entry.program_id) or Program.open(
        context.provenance, program_id=entry.program_id, utility_id=entry.utility_id
    )
    program.agree_terms(context.provenance, terms=terms_of_entry(entry))
    return Decision(program, reply=program.state.version)


def terms_of_entry(entry: ProgramEntry) -> Terms:
    """The terms that an entry of a portfolio states; equal contracts give equal terms."""
    baseline = BaselineTerms(method=entry.baseline_method)
    if entry.baseline is not None:
        baseline = BaselineTerms(method=entry.baseline.method, parameters=entry.baseline.parameters)
    return Terms(
        rank=entry.rank,
        baseline=baseline,
        holidays=None if entry.holidays is None else tuple(sorted(set(entry.holidays))),
        clip_delivery=entry.clip_delivery,
        window=entry.window,
        notification_lead_s=entry.notification_lead_s,
        maximum_lead_s=entry.maximum_lead_s,
        prepare_lead_s=entry.prepare_lead_s,
        minimum_duration_s=entry.minimum_duration_s,
        maximum_duration_s=entry.maximum_duration_s,
        acceptable_share=entry.acceptable_share,
        shortfall_policy=entry.shortfall_policy,
        forecast_guardrail=entry.forecast_guardrail,
        two_phase=entry.two_phase,
        rate_per_kw=decimal_string(entry.rate_per_kw),
        rate_per_kwh=decimal_string(entry.rate_per_kwh),
        settlement=entry.settlement,
    )
