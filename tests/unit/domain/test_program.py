"""The terms of a program have versions, and a DR event is judged by one of them."""

from msgspec.structs import replace

from domain.identifiers import program_stream_id
from domain.program import Program
from tests.sample_values import program_terms, provenance

TERMS = program_terms()


def test_each_change_of_the_terms_is_a_new_version() -> None:
    program = Program.open(provenance(), program_id="summer-peak", utility_id="util-1")
    assert (program.id, program.state.version, program.state.terms) == (
        program_stream_id("summer-peak"),
        0,
        None,
    )
    better = replace(TERMS, rate_per_kw="2")
    for terms in (TERMS, TERMS, better, better, TERMS):
        program.agree_terms(provenance(), terms=terms)
    recorded = [e for e in program.collect_events() if isinstance(e, Program.TermsAgreed)]
    assert [(e.version, e.terms) for e in recorded] == [(1, TERMS), (2, better), (3, TERMS)]
    assert (program.state.version, program.state.terms) == (3, TERMS)
