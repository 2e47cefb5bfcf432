"""H5: a proof from which the end of its history, or a building, was taken out is refused, and the reason named."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from application.ledger.checkpoints import sign
from application.ledger.proof import NotProvable, prove
from application.ledger.proof_check import check_document, check_proof
from application.ledger.proof_document import (
    ProofBroken,
    ProofDocument,
    ProvenHead,
    ProvenRow,
)
from application.ledger.stored_tree import StoredTree
from domain.dr_event import Reason
from domain.identifiers import dispatch_id, program_stream_id
from domain.ledger.entries import DEMAND_RESPONSE, LogRow
from domain.ledger.stream_map import map_root
from domain.program import Program
from tests.property.projections.projected_logs import UTILITY, PortfolioWalk
from tests.sealed_portfolio import SealedPortfolio, completed_dr_event

CHANGE = Callable[[ProofDocument], ProofDocument]


@pytest.fixture(scope="module")
def portfolio() -> SealedPortfolio:
    sealed = completed_dr_event()
    sealed.seal()
    return sealed


@pytest.fixture(scope="module")
def proof(portfolio: SealedPortfolio) -> ProofDocument:
    return portfolio.prove()


def refused(document: msgspec.Struct, portfolio: SealedPortfolio) -> str:
    with pytest.raises(ProofBroken) as error:
        check_document(document, portfolio.signer.public_key)  # type: ignore[arg-type]
    return str(error.value)


def without(document: ProofDocument, *streams: UUID) -> ProofDocument:
    kept = tuple(row for row in document.domain_events if row.originator_id not in streams)
    return msgspec.structs.replace(document, domain_events=kept)


def test_the_genuine_proof_is_complete(portfolio: SealedPortfolio, proof: ProofDocument) -> None:
    proven = check_proof(proof.written(), portfolio.signer.public_key).verified
    assert proven.dispatches == 2
    assert {row.topic for row in proof.domain_events} >= {
        "dr-event.completed.v1",
        "dispatch.restored.v1",
        "facility.reserved.v1",
        "facility.released.v1",
        "program.opened.v1",
    }


def test_the_same_dr_event_under_another_id_is_refused() -> None:
    """Whoever may write to the log needs no key for that: the product seals it (P1 of the review)."""
    portfolio, another = completed_dr_event(), UUID(int=7)
    opened = next(row for row in portfolio.rows() if row.originator_id == portfolio.dr_event_id)
    position = portfolio.rows()[-1].position + 1
    again = LogRow(
        position=position,
        originator_id=another,
        originator_version=1,
        topic=opened.topic,
        state=opened.state,
    )
    portfolio.store.record(DEMAND_RESPONSE, again)
    portfolio.seal()
    with pytest.raises(NotProvable, match="is not the id of the DR event that its first"):
        prove(portfolio.store, portfolio.signer.public_key, another, [position])


def test_a_proof_without_its_last_domain_events_is_refused(
    portfolio: SealedPortfolio, proof: ProofDocument
) -> None:
    own = [row for row in proof.domain_events if row.originator_id == portfolio.dr_event_id]
    for count in range(1, len(own)):
        end = own[count].position
        truncated = tuple(row for row in proof.domain_events if row.position < end)
        why = refused(msgspec.structs.replace(proof, domain_events=truncated), portfolio)
        assert f"domain events of DR event {portfolio.dr_event_id} are missing: {len(own)} were sealed" in why


def test_a_proof_without_a_building_is_refused(portfolio: SealedPortfolio, proof: ProofDocument) -> None:
    stream = dispatch_id(portfolio.dr_event_id, "fac-002")
    assert "domain events of the dispatch of fac-002 are missing" in refused(
        without(proof, stream), portfolio
    )
    heads = tuple(head for head in proof.heads if head.stream_id != stream)
    lacking = msgspec.structs.replace(without(proof, stream), heads=heads)
    assert "the last version of the dispatch of fac-002 is missing" in refused(lacking, portfolio)


def test_the_end_of_a_dispatch_cannot_be_left_out(portfolio: SealedPortfolio, proof: ProofDocument) -> None:
    stream = dispatch_id(portfolio.dr_event_id, "fac-001")
    last = [row.position for row in proof.domain_events if row.originator_id == stream][-1]
    rows = tuple(row for row in proof.domain_events if row.position != last)
    assert "of the dispatch of fac-001 are missing" in refused(
        msgspec.structs.replace(proof, domain_events=rows), portfolio
    )


def test_a_lower_last_version_cannot_be_claimed(portfolio: SealedPortfolio, proof: ProofDocument) -> None:
    """Neither of the DR event nor of a dispatch that is said not to exist."""
    for at, version in ((0, proof.heads[0].version - 1), (len(proof.heads) - 1, 0)):
        forged = msgspec.structs.replace(proof.heads[at], version=version)
        heads = (*proof.heads[:at], forged, *proof.heads[at + 1 :])
        stream = proof.heads[at].stream_id
        rows = tuple(
            row
            for row in proof.domain_events
            if row.originator_id != stream or row.originator_version <= version
        )
        why = refused(msgspec.structs.replace(proof, heads=heads, domain_events=rows), portfolio)
        assert "is not what was sealed" in why


def test_absurd_numbers_in_a_proof_are_refused(portfolio: SealedPortfolio, proof: ProofDocument) -> None:
    """Whoever signs with a key of their own may claim any version: no list of that length is made."""
    for version in (300_000_000, 2**63 - 1):
        root, head = forged_head(proof, version)
        checkpoint = replace(
            proof.signed_checkpoint.checkpoint,
            stream_map=replace(proof.signed_checkpoint.checkpoint.stream_map, root=root, streams=1),
        )
        forged = replace(
            proof, signed_checkpoint=sign(checkpoint, portfolio.signer), heads=(head, *proof.heads[1:])
        )
        tracemalloc.start()
        try:
            assert f"{version} were sealed" in refused(forged, portfolio)
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()
    for beyond in (2**63, -(2**63) - 1, 10**30):
        for field in ("position", "originator_version"):
            row = replace(proof.domain_events[0], **{field: beyond})
            with_row = replace(proof, domain_events=(row, *proof.domain_events[1:]))
            assert "is not what was sealed" in refused(with_row, portfolio)


def forged_head(proof: ProofDocument, version: int) -> tuple[str, ProvenHead]:
    """The root of a map with only the stream of the DR event, at that version, and its head."""
    root = map_root([(proof.dr_event_id.bytes, version)]).hex()
    return root, replace(proof.heads[0], version=version, path=(), other=None)


def test_the_program_belongs_to_the_proof(portfolio: SealedPortfolio, proof: ProofDocument) -> None:
    program = next(row.originator_id for row in proof.domain_events if row.topic.startswith("program."))
    assert "domain events of program" in refused(without(proof, program), portfolio)


@pytest.mark.parametrize("refusal", ["rejected", "modification"])
def test_a_refused_notice_shows_nothing_of_the_program_that_it_names(refusal: str) -> None:
    """A utility may name any program; only one that was accepted is its own."""
    walk = PortfolioWalk(facilities=1)
    for program_id, utility_id in (("summer-peak", UTILITY), ("foreign", "util-2")):
        walk.save(Program.open(walk.provenance(tenant=None), program_id=program_id, utility_id=utility_id))
    dr_event = walk.open_dr_event()
    no_program = (Reason(code="unknown_program", detail="there is no program foreign"),)
    if refusal == "rejected":
        rejected = replace(walk.notice(("fac-001",)), program_id="foreign")
        dr_event.reject(walk.provenance(), notice=rejected, reasons=no_program)
        walk.save(dr_event)
        walk.accept(dr_event)
    else:
        walk.accept(dr_event)
        modified = replace(dr_event.state.judged_notice, program_id="foreign", modification_number=1)
        dr_event.refuse_modification(walk.provenance(), notice=modified, reasons=no_program)
        walk.save(dr_event)
    sealed = SealedPortfolio(walk)
    sealed.record()
    sealed.seal()
    document = sealed.prove()
    assert [head.stream_id for head in document.heads] == [dr_event.id, program_stream_id("summer-peak")]
    assert program_stream_id("foreign") not in {row.originator_id for row in document.domain_events}
    check_proof(document.written(), sealed.signer.public_key)


def test_the_heads_of_another_checkpoint_are_refused(proof: ProofDocument) -> None:
    """The last versions before the end, under the checkpoint after it."""
    later = completed_dr_event()
    own = [row.position for row in later.rows() if row.originator_id == later.dr_event_id]
    earlier = SealedPortfolio(later.walk)
    earlier.record(own[-2])
    earlier.seal()
    old = earlier.prove()
    check_document(old, earlier.signer.public_key)
    later.seal()
    forged = msgspec.structs.replace(proof, heads=old.heads)
    assert "is not what was sealed" in refused(forged, later)
    mixed = msgspec.structs.replace(old, signed_checkpoint=proof.signed_checkpoint)
    refused(mixed, later)


def test_domain_events_of_others_do_not_belong_to_it(
    portfolio: SealedPortfolio, proof: ProofDocument
) -> None:
    """What a proof shows beside its streams is of its own facilities and on account of this DR event."""
    other = next(row for row in portfolio.rows() if row.topic == "facility.registered.v1")
    size = proof.signed_checkpoint.checkpoint.head_of(DEMAND_RESPONSE).size
    tree = StoredTree(portfolio.store, DEMAND_RESPONSE, size)
    index = tree.located([other.position])[other.position]
    registered = ProvenRow.of(other, index, tree.inclusion_proofs([index])[0])
    ordered = tuple(sorted((registered, *proof.domain_events), key=lambda row: row.position))
    assert "does not belong to the DR event" in refused(
        msgspec.structs.replace(proof, domain_events=ordered), portfolio
    )
