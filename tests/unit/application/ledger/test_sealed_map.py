"""The map of streams under checkpoints: after it was lost, after a crash, and never over forged pages."""

from __future__ import annotations

import msgspec
import pytest

from application.ledger.checkpoints import SignedCheckpoint, checkpoint_name, sign
from application.ledger.sealing import LedgerContradicted, Sealer, follow
from application.ledger.verification import verify_ledger
from application.ports.archive import ArchiveUnavailable
from domain.ledger.entries import DEMAND_RESPONSE, LOGS
from domain.ledger.map_pages import FIRST_PAGE, MapChange, MapState
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


def sealed_without_its_map(portfolio: SealedPortfolio) -> SignedCheckpoint:
    """One checkpoint over the first half of the log. The map and the stored tree are lost; the rest is not recorded."""
    rows = portfolio.rows()
    portfolio.store.logs[DEMAND_RESPONSE].clear()
    portfolio.record(rows[len(rows) // 2].position)
    signed = portfolio.seal()
    portfolio.store.maps = {log: MapState() for log in LOGS}
    portfolio.store.pages.clear()
    portfolio.store.tree.clear()
    return signed


def test_the_checkpoint_after_a_lost_map_has_the_map_of_the_whole_log() -> None:
    portfolio = completed_dr_event()
    sealed_without_its_map(portfolio)
    portfolio.record()
    followed(portfolio)
    signed = sealer(portfolio).seal()
    assert signed is not None
    head = signed.checkpoint.head_of(DEMAND_RESPONSE)
    assert signed.checkpoint.stream_map.root == expected_root(portfolio, head.last_position)
    assert head.last_position == portfolio.rows()[-1].position
    assert {one.stream_id for one in portfolio.prove().heads} >= {portfolio.dr_event_id}
    assert portfolio.verify().findings == ()


def test_a_lost_map_is_made_in_parts_although_nothing_new_is_recorded() -> None:
    portfolio = completed_dr_event()
    signed = sealed_without_its_map(portfolio)
    sizes: list[int] = []
    change_map = portfolio.store.change_map

    def noted(log: str, change: MapChange) -> None:
        sizes.append(change.after.size)
        change_map(log, change)

    portfolio.store.change_map = noted  # type: ignore[method-assign]
    assert sealer(portfolio).seal() is None
    whole = signed.checkpoint.head_of(DEMAND_RESPONSE).size
    assert sizes == [*range(7, whole, 7), whole]
    assert portfolio.store.maps[DEMAND_RESPONSE].root.hex() == signed.checkpoint.stream_map.root


def test_a_part_of_the_log_without_rows_does_not_hold_the_map_up() -> None:
    """As after domain events were deleted: the map goes on, and verification finds them."""
    portfolio = completed_dr_event()
    signed = sealed_without_its_map(portfolio)
    for row in portfolio.rows()[7:14]:
        del portfolio.store.logs[DEMAND_RESPONSE][row.position]
    assert sealer(portfolio).seal() is None
    assert portfolio.store.maps[DEMAND_RESPONSE].size == signed.checkpoint.head_of(DEMAND_RESPONSE).size
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
    assert portfolio.prove().signed_checkpoint.checkpoint.number == 2
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
