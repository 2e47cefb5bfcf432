"""Missing or forged files of the archive are reported, and the other files still prove the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.signing import signer_in
from application.ledger.checkpoints import checkpoint_name, read_checkpoint, sign
from application.ledger.sealing import LedgerContradicted
from domain.ledger.entries import DEMAND_RESPONSE, ENTRY_BYTES
from domain.ledger.merkle import leaf_hash
from tests.integration.ledger.conftest import SEALED, Ledger

EVENTS = "gridproof.demand_response_events"
AT = "WHERE notification_id = %s"


def tiles(ledger: Ledger) -> list[Path]:
    return sorted(ledger.file("ledger/tiles/demand-response").iterdir())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-ENTRY_BYTES])


def forge_a_position(path: Path) -> None:
    path.write_bytes(b"\0" * 7 + b"\x07" + path.read_bytes()[8:])


@pytest.mark.parametrize("damage", [Path.unlink, truncate, forge_a_position])
def test_a_damaged_tile_is_reported_and_the_rest_is_still_proven(
    sealed: Ledger, damage: Callable[[Path], None]
) -> None:
    damage(tiles(sealed)[1])
    finding = sealed.only()
    assert (finding.kind, finding.position, finding.through) == ("tile", 6, 10)
    assert "the ledger's table proves complete" in finding.detail


def test_a_change_is_located_by_the_ledgers_table_if_its_tile_is_missing(sealed: Ledger) -> None:
    tiles(sealed)[1].unlink()
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (9,))
    assert sealed.findings() == [("tile", 6), ("changed", 9)]


def test_the_log_is_checked_against_the_root_if_tile_and_ledger_are_damaged(sealed: Ledger) -> None:
    tiles(sealed)[1].unlink()
    sealed.replace_entry(9, leaf_hash(b"x"))
    assert sealed.findings() == [("tile", 6), ("ledger-table", 9)]
    assert "the log itself proves complete" in sealed.verify().findings[0].detail


def test_the_interval_is_reported_if_tile_and_both_tables_are_lost(sealed: Ledger) -> None:
    tiles(sealed)[1].unlink()
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (9,))
    row = sealed.store.row(DEMAND_RESPONSE, 9)
    assert row is not None
    sealed.replace_entry(9, row.leaf())
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (21,))
    assert sealed.findings() == [("tile", 6), ("interval", 6), ("changed", 21)]
    assert sealed.verify().findings[1].through == 10


@pytest.mark.parametrize(
    ("field", "forged"),
    [
        ("at", "2026-07-14T22:00:00Z"),
        ("previous", "0" * 64),
        ("number", 3),
        ("root", "00" * 32),
        ("size", 8),
    ],
)
def test_a_forged_checkpoint_is_reported(sealed: Ledger, field: str, forged: object) -> None:
    path = sealed.file(checkpoint_name(2))
    document = json.loads(path.read_text())
    place = document["checkpoint"]["heads"][0] if field in ("root", "size") else document["checkpoint"]
    place[field] = forged
    path.write_text(json.dumps(document, indent=1) + "\n")
    finding = sealed.only()
    assert finding.kind == "checkpoint"
    assert "checkpoint 2: in the archive" in finding.detail


def test_a_checkpoint_signed_by_another_key_is_reported(sealed: Ledger) -> None:
    other = signer_in(sealed.folder / "other")
    checkpoint = read_checkpoint(
        sealed.file(checkpoint_name(3)).read_bytes(), sealed.signer.public_key, number=3
    ).checkpoint
    forged = sign(checkpoint, other).written()
    sealed.file(checkpoint_name(3)).write_bytes(forged)
    sealed.tamper("UPDATE gridproof.ledger_checkpoints SET signed = %s WHERE number = 3", (forged,))
    report = sealed.verify()
    assert [finding.kind for finding in report.findings] == ["checkpoint", "checkpoint"]
    assert all("another key" in finding.detail for finding in report.findings)
    assert report.logs[0].sealed_to == 10
    assert report.logs[0].unsealed == 5


def test_a_checkpoint_missing_in_the_archive_is_reported_and_the_copy_is_used(sealed: Ledger) -> None:
    sealed.file(checkpoint_name(2)).unlink()
    finding = sealed.only()
    assert (finding.kind, finding.detail) == ("checkpoint", "checkpoint 2: it is missing in the archive")
    sealed.file(checkpoint_name(3)).unlink()
    with pytest.raises(LedgerContradicted, match="checkpoint 3"):
        sealed.seal()


def test_a_checkpoint_missing_in_the_database_is_reported_unless_it_is_the_newest(sealed: Ledger) -> None:
    """The newest checkpoint is archived before it is stored, and a verification may run in between."""
    sealed.tamper("DELETE FROM gridproof.ledger_checkpoints WHERE number = 3")
    assert sealed.findings() == []
    sealed.tamper("DELETE FROM gridproof.ledger_checkpoints WHERE number = 2")
    assert sealed.only().detail == "checkpoint 2: it is missing in the database"


def test_a_checkpoint_missing_everywhere_is_reported(sealed: Ledger) -> None:
    sealed.file(checkpoint_name(2)).unlink()
    sealed.tamper("DELETE FROM gridproof.ledger_checkpoints WHERE number = 2")
    assert [kind for kind, _ in sealed.findings()][:2] == ["checkpoint", "checkpoint"]
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (9,))
    assert ("changed", 9) in sealed.findings()


def test_a_log_without_any_checkpoint_is_reported(ledger: Ledger) -> None:
    assert ledger.verify().verified  # an empty log has no findings
    ledger.record(SEALED)
    assert ledger.findings() == [("checkpoint", None)]
    assert ledger.verify().logs[0].unsealed == len(SEALED)
