"""The map of streams under checkpoints: after an upgrade, after a crash, and never over forged pages."""

from __future__ import annotations

import msgspec
import pytest

from application.ledger.checkpoints import SignedCheckpoint, checkpoint_name, sign
from application.ledger.proof_document import ProofDocumentV1, ProofDocumentV2
from application.ledger.sealing import LedgerContradicted, Sealer, follow
from application.ledger.verification import verify_ledger
from application.ports.archive import ArchiveUnavailable
from domain.ledger.entries import DEMAND_RESPONSE, LOGS, CheckpointV1, CheckpointV2
from domain.ledger.map_pages import FIRST_PAGE, MapState
from domain.ledger.stream_map import map_root
from tests.fakes.archive import FakeArchive
from tests.fakes.clock import FakeClock
from tests.sealed_portfolio import SealedPortfolio, completed_dr_event


def sealer(portfolio: SealedPortfolio, map_entries: int = 7) -> Sealer:
    return Sealer(
        portfolio.store,
        portfolio.archive,
        portfolio.signer,
        FakeClock(portfolio.walk.now),
        map_entries=map_entries,
    )


def followed(portfolio: SealedPortfolio) -> None:
    for log in LOGS:
        while follow(portfolio.store, log):
            pass


def expected_root(portfolio: SealedPortfolio, up_to: int) -> str:
    return map_root(portfolio.store.last_versions(DEMAND_RESPONSE, after=-(2**63), up_to=up_to)).hex()


def as_the_older_release_left_it(portfolio: SealedPortfolio, share: float = 0.5) -> SignedCheckpoint:
    """One checkpoint of version 1 over the first part, no map and no stored tree; the rest is not recorded yet."""
    rows = portfolio.rows()
    portfolio.store.logs[DEMAND_RESPONSE].clear()
    portfolio.record(rows[int(len(rows) * share)].position)
    sealed = portfolio.seal().checkpoint
    checkpoint = CheckpointV1(number=1, at=sealed.at, previous=sealed.previous, heads=sealed.heads)
    signed = sign(checkpoint, portfolio.signer)
    portfolio.store.checkpoints = {1: signed.written()}
    portfolio.archive.files[checkpoint_name(1)] = signed.written()
    portfolio.store.maps = {log: MapState() for log in LOGS}
    portfolio.store.pages.clear()
    portfolio.store.tree.clear()
    return signed


def test_the_first_checkpoint_after_an_upgrade_has_the_map_of_the_whole_log() -> None:
    portfolio = completed_dr_event()
    as_the_older_release_left_it(portfolio)
    older = portfolio.prove()
    assert isinstance(older, ProofDocumentV1)
    portfolio.record()
    followed(portfolio)
    signed = sealer(portfolio).seal()
    assert signed is not None
    assert isinstance(signed.checkpoint, CheckpointV2)
    head = signed.checkpoint.head_of(DEMAND_RESPONSE)
    assert signed.checkpoint.stream_map.root == expected_root(portfolio, head.last_position)
    assert head.last_position == portfolio.rows()[-1].position
    assert isinstance(portfolio.prove(), ProofDocumentV2)
    assert portfolio.verify().findings == ()


def test_the_map_is_made_in_parts_and_goes_on_after_each() -> None:
    portfolio = completed_dr_event()
    signed = as_the_older_release_left_it(portfolio)
    size = signed.checkpoint.head_of(DEMAND_RESPONSE).size
    added = []
    while part := sealer(portfolio).extend_map():
        added.append(part)
    assert (sum(added), max(added)) == (size, 7)
    assert isinstance(portfolio.prove(), ProofDocumentV1), "its checkpoint is still of version 1"
    assert sealer(portfolio).seal() is None, "nothing new is recorded"


def test_a_part_of_the_log_without_rows_does_not_hold_the_map_up() -> None:
    """As after domain events were deleted that the ledger's table has: the map goes on, and verification finds them."""
    portfolio = completed_dr_event()
    signed = as_the_older_release_left_it(portfolio)
    size = signed.checkpoint.head_of(DEMAND_RESPONSE).size
    for row in portfolio.rows()[7:14]:
        del portfolio.store.logs[DEMAND_RESPONSE][row.position]
    added = []
    while part := sealer(portfolio).extend_map():
        added.append(part)
        assert sum(added) <= size
    assert sum(added) == size
    assert "removed" in {found.kind for found in portfolio.verify().findings}


def test_a_checkpoint_takes_a_bounded_part_and_the_next_one_the_rest() -> None:
    portfolio = completed_dr_event()
    followed(portfolio)
    signed = sealer(portfolio, map_entries=10).seal()
    assert signed is not None
    checkpoints = [portfolio.store.checkpoint(number) for number in range(1, signed.checkpoint.number + 1)]
    sizes = [
        msgspec.json.decode(one, type=SignedCheckpoint).checkpoint.head_of(DEMAND_RESPONSE).size
        for one in checkpoints
        if one is not None
    ]
    assert sizes[:2] == [10, 20]
    assert sizes[-1] == len(portfolio.rows())
    assert portfolio.verify().findings == ()


def test_a_checkpoint_archived_just_before_a_crash_is_stored_with_its_map() -> None:
    portfolio = completed_dr_event()
    portfolio.store.logs[DEMAND_RESPONSE].clear()
    portfolio.record(portfolio.rows()[20].position)
    portfolio.seal()
    before = (dict(portfolio.store.maps), dict(portfolio.store.pages))
    portfolio.record()
    portfolio.seal()
    del portfolio.store.checkpoints[2]
    portfolio.store.maps, portfolio.store.pages = before
    assert sealer(portfolio).seal() is None
    assert portfolio.store.last_checkpoint_number() == 2
    assert isinstance(portfolio.prove(), ProofDocumentV2)
    assert portfolio.verify().findings == ()


class UnavailableArchive(FakeArchive):
    def put_once(self, name: str, content: bytes) -> None:
        if "checkpoints" in name:
            raise ArchiveUnavailable("away")
        super().put_once(name, content)


def test_without_the_archive_the_map_stays_that_of_the_last_checkpoint() -> None:
    """So a proof under it can be made all the time."""
    portfolio = completed_dr_event()
    portfolio.store.logs[DEMAND_RESPONSE].clear()
    portfolio.record(portfolio.rows()[-3].position)
    portfolio.seal()
    away = UnavailableArchive()
    away.files = portfolio.archive.files
    portfolio.record()
    followed(portfolio)
    with pytest.raises(ArchiveUnavailable):
        Sealer(portfolio.store, away, portfolio.signer, FakeClock()).seal()
    proof = portfolio.prove()
    assert isinstance(proof, ProofDocumentV2)
    assert proof.signed_checkpoint.checkpoint.number == 1


def test_a_forged_page_is_not_sealed_over() -> None:
    portfolio = completed_dr_event()
    portfolio.store.logs[DEMAND_RESPONSE].clear()
    portfolio.record(portfolio.rows()[-3].position)
    portfolio.seal()
    pages = portfolio.store.pages
    for name, page in pages.items():
        pages[name] = page[:-1] + bytes([page[-1] ^ 1])
    portfolio.record()
    with pytest.raises(LedgerContradicted, match="of the map of streams is not what it was"):
        portfolio.seal()
    assert (DEMAND_RESPONSE, FIRST_PAGE) in pages


def test_a_map_with_another_root_is_not_extended() -> None:
    portfolio = completed_dr_event()
    portfolio.seal()
    state = portfolio.store.maps[DEMAND_RESPONSE]
    portfolio.store.maps[DEMAND_RESPONSE] = msgspec.structs.replace(state, root=b"x" * 32)
    with pytest.raises(LedgerContradicted, match="not the one that checkpoint 1 seals"):
        sealer(portfolio).seal()
    assert [finding.kind for finding in portfolio.verify().findings] == ["map"]


def test_a_sealed_map_that_differs_from_the_log_is_reported() -> None:
    """With the key, a checkpoint may be signed whose map leaves out the end of a stream."""
    portfolio = completed_dr_event()
    sealed = portfolio.seal().checkpoint
    assert isinstance(sealed, CheckpointV2)
    forged = sign(
        msgspec.structs.replace(
            sealed, stream_map=msgspec.structs.replace(sealed.stream_map, root="ab" * 32)
        ),
        portfolio.signer,
    )
    portfolio.archive.files[checkpoint_name(1)] = forged.written()
    portfolio.store.checkpoints[1] = forged.written()
    findings = portfolio.verify().findings
    assert {finding.kind for finding in findings} == {"map"}
    assert "proofs under it do not show every domain event" in findings[0].detail
    without = verify_ledger(portfolio.store, portfolio.archive, portfolio.signer.public_key, with_map=False)
    assert (without.findings, without.stream_map) == ((), None)


def test_a_checkpoint_without_a_map_after_one_with_it_is_a_finding() -> None:
    portfolio = completed_dr_event()
    portfolio.store.logs[DEMAND_RESPONSE].clear()
    portfolio.record(portfolio.rows()[20].position)
    portfolio.seal()
    portfolio.record()
    sealed = portfolio.seal().checkpoint
    downgraded = sign(
        CheckpointV1(number=2, at=sealed.at, previous=sealed.previous, heads=sealed.heads), portfolio.signer
    )
    portfolio.archive.files[checkpoint_name(2)] = downgraded.written()
    portfolio.store.checkpoints[2] = downgraded.written()
    (finding,) = portfolio.verify().findings
    assert "checkpoint 2: it seals no map of streams, and the one before does" in finding.detail
