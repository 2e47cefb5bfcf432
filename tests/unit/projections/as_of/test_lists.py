"""Lists as of a position: which domain events of the log a projection sees."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

import msgspec
import pytest
from msgspec.structs import replace

from domain.aggregates import topics_of
from domain.event_sourcing.aggregate import DomainEvent
from domain.program import Program
from projections.as_of import lists
from projections.as_of.lists import NO_LIMITS, PrefixCache
from projections.audit.stream_log import StreamEntry
from projections.engine.division import StreamDivision
from projections.engine.projection import FilterKind, Rows
from projections.program import ProgramsProjection
from tests.fakes.stream_log import FakeStreamLog
from tests.sample_values import program_terms, provenance

TERMS = program_terms()


class RankRow(msgspec.Struct, frozen=True, kw_only=True):
    program_id: str
    rank: int


class RanksProjection(StreamDivision):
    """The rank of each program: a projection that concerns only domain events of programs."""

    name: ClassVar[str] = "ranks"
    version: ClassVar[int] = 1
    row_type: ClassVar[type[RankRow]] = RankRow
    newest_first: ClassVar[bool] = False
    concerns: ClassVar[tuple[type[DomainEvent], ...]] = (Program.TermsAgreed,)
    facts: ClassVar[None] = None
    filters: ClassVar[Mapping[str, FilterKind]] = {}

    def key(self, row: RankRow) -> str:
        return row.program_id

    def sort_key(self, row: RankRow) -> str:
        return row.program_id

    def tenant(self, row: RankRow) -> str | None:
        return None

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        return []

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[RankRow]) -> None:
        if isinstance(domain_event, Program.TermsAgreed):
            rows.put(RankRow(program_id=str(domain_event.originator_id), rank=domain_event.terms.rank))


def test_a_projection_of_program_events_sees_them_as_of_a_position() -> None:
    program = Program.open(provenance(), program_id="summer-peak", utility_id="city-power")
    program.agree_terms(provenance(), terms=TERMS)
    program.agree_terms(provenance(), terms=replace(TERMS, rank=2))
    recorded = [one for one in program.collect_events() if isinstance(one, DomainEvent)]
    entries = [StreamEntry(position, one) for position, one in enumerate(recorded, start=1)]
    cache = PrefixCache(FakeStreamLog(entries), RanksProjection(), NO_LIMITS)
    ranks = {position: [row.rank for row in cache.at(position).listed().rows] for position in (1, 2, 3)}
    assert ranks == {1: [], 2: [1], 3: [2]}


def test_topics_are_those_of_the_given_kinds_of_domain_events() -> None:
    assert topics_of((Program.Opened, Program.TermsAgreed)) == {
        "program.opened.v1",
        "program.terms-agreed.v2",
    }
    assert topics_of((Program.Opened,)) < topics_of()


def test_what_a_program_with_many_versions_costs_grows_with_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its row grows with each of them: measured after each, 1,000 versions are encoded a thousand times."""
    program = Program.open(provenance(), program_id="summer-peak", utility_id="city-power")
    for number in range(1_000):
        program.agree_terms(provenance(), terms=replace(TERMS, rank=number % 90 + 1))
    recorded = [one for one in program.collect_events() if isinstance(one, DomainEvent)]
    encoded: list[int] = []
    encode = lists._encode

    def counting(row: object) -> bytes:
        encoded.append(len(encode(row)))
        return encode(row)

    monkeypatch.setattr(lists, "_encode", counting)
    cache = PrefixCache(
        FakeStreamLog([StreamEntry(position, one) for position, one in enumerate(recorded, start=1)]),
        ProgramsProjection(),
        NO_LIMITS,
    )
    [row] = cache.at(len(recorded)).listed().rows
    assert len(row.versions) == len(recorded) - 1 > 500
    assert sum(encoded) < 10 * len(encode(row))
