"""The terms of a program have versions, and a DR event is judged by one of them."""

from msgspec.structs import replace

from domain.identifiers import program_stream_id
from domain.program import Program, Terms
from tests.sample_values import provenance

TERMS = Terms(
    rank=1,
    baseline_method="caiso-10-in-10",
    notification_lead_s=600,
    prepare_lead_s=600,
    minimum_duration_s=900,
    maximum_duration_s=14_400,
    acceptable_share=0.8,
    shortfall_policy="continue",
    forecast_guardrail="block",
    two_phase=True,
    rate_per_kw=1.0,
    rate_per_kwh=0.1,
)


def test_each_change_of_the_terms_is_a_new_version() -> None:
    program = Program.open(provenance(), program_id="summer-peak", utility_id="util-1")
    assert (program.id, program.state.version, program.state.terms) == (
        program_stream_id("summer-peak"),
        0,
        None,
    )
    better = replace(TERMS, rate_per_kw=2.0)
    for terms in (TERMS, TERMS, better, better, TERMS):
        program.agree_terms(provenance(), terms=terms)
    recorded = [e for e in program.collect_events() if isinstance(e, Program.TermsAgreed)]
    assert [(e.version, e.terms) for e in recorded] == [(1, TERMS), (2, better), (3, TERMS)]
    assert (program.state.version, program.state.terms) == (3, TERMS)
