"""Somebody with every right in the database changes something: what was changed is found, at its exact position."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.ledger_key import signer_in
from application.checkpoints import checkpoint_name, read_checkpoint, sign
from application.ledger_sealing import LedgerContradicted
from application.ledger_verification import Span
from domain.ledger import DEMAND_RESPONSE, ENTRY_BYTES
from domain.merkle import leaf_hash
from tests.integration.ledger.conftest import SEALED, UNSEALED, Ledger

EVENTS = "gridproof.demand_response_events"
AT = "WHERE notification_id = %s"
POSITIONS = [1, 5, 8, 10, 20, 22]
"""The first and the last of each checkpoint."""


def test_an_untouched_log_holds(sealed: Ledger) -> None:
    report = sealed.verify()
    assert report.findings == ()
    assert report.verified
    assert report.checkpoints == 3
    log, forecasts = report.logs
    assert (log.domain_events, log.head, log.sealed_to, log.unsealed) == (10, 25, 22, 2)
    assert (forecasts.domain_events, forecasts.unsealed) == (10, 0)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize(
    "change",
    [
        "state = 'other'",
        "state = state || ' '",
        "topic = 'dr-event.cancelled.v1'",
        "originator_version = 2",
        "originator_id = gen_random_uuid()",
        # Across the border between two fields: the same bytes, told apart by their lengths.
        "topic = topic || '{', state = substring(state FROM 2)",
    ],
)
def test_a_changed_domain_event_is_found(sealed: Ledger, position: int, change: str) -> None:
    assert sealed.tamper(f"UPDATE {EVENTS} SET {change} {AT}", (position,)) == 1
    assert sealed.found() == [("changed", position)]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_removed_domain_event_is_found(sealed: Ledger, position: int) -> None:
    assert sealed.tamper(f"DELETE FROM {EVENTS} {AT}", (position,)) == 1
    assert sealed.found() == [("removed", position)]


@pytest.mark.parametrize("position", [-7, 0, 4, 6, 7, 11, 19])
def test_an_inserted_domain_event_is_found(sealed: Ledger, position: int) -> None:
    """In a gap of the positions, between two checkpoints, before everything."""
    sealed.record([position])
    sealed.follow()
    assert sealed.found() == [("inserted", position)]


def test_a_second_row_at_a_position_is_found(sealed: Ledger) -> None:
    sealed.tamper("DROP INDEX gridproof.demand_response_events_notification_id_idx")
    sealed.tamper(
        f"INSERT INTO {EVENTS} OVERRIDING SYSTEM VALUE VALUES (gen_random_uuid(), 1, 'other', 'x', 9)"
    )
    assert {position for _, position in sealed.found()} == {9}


@pytest.mark.parametrize(("one", "other"), [(2, 3), (3, 21), (1, 22)])
def test_two_reordered_domain_events_are_found(sealed: Ledger, one: int, other: int) -> None:
    swap = f"UPDATE {EVENTS} SET notification_id = %s {AT}"
    sealed.tamper(f"ALTER TABLE {EVENTS} ALTER notification_id DROP IDENTITY")
    for to, position in ((-1, one), (one, other), (other, -1)):
        assert sealed.tamper(swap, (to, position)) == 1
    assert sealed.found() == [("moved", one), ("moved", other)]
    assert f"was sealed at {other} stands here" in sealed.verify().findings[0].detail


def test_a_domain_event_moved_into_a_gap_is_found_at_both_places(sealed: Ledger) -> None:
    sealed.tamper(f"ALTER TABLE {EVENTS} ALTER notification_id DROP IDENTITY")
    sealed.tamper(f"UPDATE {EVENTS} SET notification_id = 15 {AT}", (2,))
    assert sealed.found() == [("moved", 2), ("moved", 15)]


def test_everything_is_named_when_much_was_changed(sealed: Ledger) -> None:
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (2,))
    sealed.tamper(f"DELETE FROM {EVENTS} {AT}", (9,))
    sealed.tamper("UPDATE gridproof.forecasts_events SET topic = 'x' WHERE notification_id = 21")
    sealed.record([7])
    assert sealed.found() == [("changed", 2), ("inserted", 7), ("removed", 9), ("changed", 21)]
    assert [finding.log for finding in sealed.verify().findings][-1] == "forecasts"
    assert sealed.found(Span(first=7, last=8)) == [("inserted", 7)]
    assert sealed.found(Span(last=6)) == [("changed", 2)]
    assert sealed.verify(logs=["demand-response"]).findings[-1].position == 9


@pytest.mark.parametrize("position", UNSEALED)
def test_a_change_of_the_tail_is_found_by_the_ledgers_table(sealed: Ledger, position: int) -> None:
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (position,))
    assert sealed.found() == [("changed", position)]
    assert "not sealed yet" in sealed.only().detail


# ------------------------------------------------------------------------------ the ledger's own tables as well


def replace_entry(ledger: Ledger, position: int, leaf: bytes | None) -> None:
    """Change or remove the entry of that position in the ledger's table."""
    entries = ledger.store.entries(DEMAND_RESPONSE, 0, 1000)
    index = next(
        number
        for number in range(len(entries) // ENTRY_BYTES)
        if int.from_bytes(entries[number * ENTRY_BYTES : number * ENTRY_BYTES + 8], "big", signed=True)
        == position
    )
    before, after = entries[: index * ENTRY_BYTES], entries[(index + 1) * ENTRY_BYTES :]
    own = b"" if leaf is None else position.to_bytes(8, "big", signed=True) + leaf
    forged = before + own + after
    ledger.tamper("UPDATE gridproof.ledger_tiles SET entries = %s WHERE log = 'demand-response'", (forged,))
    ledger.tamper(
        "UPDATE gridproof.ledger_heads SET size = %s WHERE log = 'demand-response'",
        (len(forged) // ENTRY_BYTES,),
    )


@pytest.mark.parametrize("position", POSITIONS)
def test_a_change_of_the_ledgers_table_alone_is_found(sealed: Ledger, position: int) -> None:
    replace_entry(sealed, position, leaf_hash(b"other"))
    assert sealed.found() == [("ledger-table", position)]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_change_of_both_tables_is_found(sealed: Ledger, position: int) -> None:
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'forged' {AT}", (position,))
    row = sealed.store.row(DEMAND_RESPONSE, position)
    assert row is not None
    replace_entry(sealed, position, row.leaf())
    assert sorted(sealed.found()) == [("changed", position), ("ledger-table", position)]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_removal_from_both_tables_is_found(sealed: Ledger, position: int) -> None:
    sealed.tamper(f"DELETE FROM {EVENTS} {AT}", (position,))
    replace_entry(sealed, position, None)
    assert ("removed", position) in sealed.found()
    assert ("ledger-table", position) in sealed.found()


def test_a_ledger_made_anew_over_a_forged_log_is_found_and_never_sealed(sealed: Ledger) -> None:
    sealed.tamper(f"DELETE FROM {EVENTS} {AT}", (9,))
    sealed.tamper("DELETE FROM gridproof.ledger_tiles")
    sealed.tamper("UPDATE gridproof.ledger_heads SET size = 0, position = 0")
    sealed.tamper("DELETE FROM gridproof.ledger_checkpoints")
    sealed.follow()
    assert ("removed", 9) in sealed.found()
    with pytest.raises(LedgerContradicted, match=r"another entry 10 than is sealed"):
        sealed.seal()


def test_a_checkpoint_made_after_the_tampering_does_not_hide_it(sealed: Ledger) -> None:
    """The next checkpoint extends what was signed, not what the database says."""
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'forged' {AT}", (9,))
    row = sealed.store.row(DEMAND_RESPONSE, 9)
    assert row is not None
    replace_entry(sealed, 9, row.leaf())
    assert sealed.seal() is not None
    assert sorted(sealed.found()) == [("changed", 9), ("ledger-table", 9)]


# ------------------------------------------------------------------------------------------------ the archive


def tiles(ledger: Ledger) -> list[Path]:
    return sorted(ledger.file("ledger/tiles/demand-response").iterdir())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-ENTRY_BYTES])


def forge_a_position(path: Path) -> None:
    path.write_bytes(b"\0" * 7 + b"\x07" + path.read_bytes()[8:])


@pytest.mark.parametrize("damage", [Path.unlink, truncate, forge_a_position])
def test_a_damaged_tile_is_found_and_the_rest_still_proven(
    sealed: Ledger, damage: Callable[[Path], None]
) -> None:
    damage(tiles(sealed)[1])
    finding = sealed.only()
    assert (finding.kind, finding.position, finding.through) == ("tile", 6, 10)
    assert "the ledger's table proves complete" in finding.detail


def test_without_the_tile_a_change_is_still_found_exactly_by_the_ledgers_table(sealed: Ledger) -> None:
    tiles(sealed)[1].unlink()
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (9,))
    assert sealed.found() == [("tile", 6), ("changed", 9)]


def test_without_tile_and_ledger_the_log_itself_is_held_against_the_root(sealed: Ledger) -> None:
    tiles(sealed)[1].unlink()
    replace_entry(sealed, 9, leaf_hash(b"x"))
    assert sealed.found() == [("tile", 6), ("ledger-table", 9)]
    assert "the log itself proves complete" in sealed.verify().findings[0].detail


def test_where_tile_and_both_tables_are_gone_the_interval_is_named(sealed: Ledger) -> None:
    tiles(sealed)[1].unlink()
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (9,))
    row = sealed.store.row(DEMAND_RESPONSE, 9)
    assert row is not None
    replace_entry(sealed, 9, row.leaf())
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (21,))
    assert sealed.found() == [("tile", 6), ("interval", 6), ("changed", 21)]
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
def test_a_forged_checkpoint_is_found(sealed: Ledger, field: str, forged: object) -> None:
    path = sealed.file(checkpoint_name(2))
    document = json.loads(path.read_text())
    place = document["checkpoint"]["heads"][0] if field in ("root", "size") else document["checkpoint"]
    place[field] = forged
    path.write_text(json.dumps(document, indent=1) + "\n")
    finding = sealed.only()
    assert finding.kind == "checkpoint"
    assert "checkpoint 2: in the archive" in finding.detail


def test_a_checkpoint_of_another_key_is_found(sealed: Ledger) -> None:
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


def test_a_checkpoint_missing_in_the_archive_is_found_and_the_copy_stands_in(sealed: Ledger) -> None:
    sealed.file(checkpoint_name(2)).unlink()
    finding = sealed.only()
    assert (finding.kind, finding.detail) == ("checkpoint", "checkpoint 2: it is missing in the archive")
    sealed.file(checkpoint_name(3)).unlink()
    with pytest.raises(LedgerContradicted, match="checkpoint 3"):
        sealed.seal()


def test_a_checkpoint_missing_everywhere_is_found(sealed: Ledger) -> None:
    sealed.file(checkpoint_name(2)).unlink()
    sealed.tamper("DELETE FROM gridproof.ledger_checkpoints WHERE number = 2")
    assert [kind for kind, _ in sealed.found()][:2] == ["checkpoint", "checkpoint"]
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (9,))
    assert ("changed", 9) in sealed.found()


def test_a_log_without_any_checkpoint_does_not_hold(ledger: Ledger) -> None:
    assert ledger.verify().verified  # nothing is recorded, nothing is wrong
    ledger.record(SEALED)
    assert ledger.found() == [("checkpoint", None)]
    assert ledger.verify().logs[0].unsealed == len(SEALED)
