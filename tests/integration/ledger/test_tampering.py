"""A change by an attacker with all rights in the database is reported at its exact position."""

from __future__ import annotations

import pytest

from adapters.postgres.ledger.stream_map_tables import TABLES
from application.ledger.sealing import LedgerContradicted
from application.ledger.verification_report import Span
from domain.ledger.entries import DEMAND_RESPONSE
from domain.ledger.merkle import leaf_hash
from tests.integration.ledger.conftest import SEALED, UNSEALED, Ledger

EVENTS = "gridproof.demand_response_events"
AT = "WHERE notification_id = %s"
POSITIONS = [1, 5, 8, 10, 20, 22]
"""The first and the last entry of each checkpoint."""


def test_an_unchanged_log_has_no_findings(sealed: Ledger) -> None:
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
        # A byte moved between two adjacent fields: the same bytes with different field lengths.
        "topic = topic || '{', state = substring(state FROM 2)",
    ],
)
def test_a_changed_domain_event_is_reported(sealed: Ledger, position: int, change: str) -> None:
    assert sealed.tamper(f"UPDATE {EVENTS} SET {change} {AT}", (position,)) == 1
    assert sealed.findings() == [("changed", position)]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_removed_domain_event_is_reported(sealed: Ledger, position: int) -> None:
    assert sealed.tamper(f"DELETE FROM {EVENTS} {AT}", (position,)) == 1
    assert sealed.findings() == [("removed", position)]


@pytest.mark.parametrize("position", [-7, 0, 4, 6, 7, 11, 19])
def test_an_inserted_domain_event_is_reported(sealed: Ledger, position: int) -> None:
    """The positions are a gap, between two checkpoints, and before all others."""
    sealed.record([position])
    sealed.follow()
    assert sealed.findings() == [("inserted", position)]


def test_a_second_row_at_a_position_is_reported(sealed: Ledger) -> None:
    sealed.tamper("DROP INDEX gridproof.demand_response_events_notification_id_idx")
    sealed.tamper(
        f"INSERT INTO {EVENTS} OVERRIDING SYSTEM VALUE VALUES (gen_random_uuid(), 1, 'other', 'x', 9)"
    )
    assert {position for _, position in sealed.findings()} == {9}


@pytest.mark.parametrize(("one", "other"), [(2, 3), (3, 21), (1, 22)])
def test_two_reordered_domain_events_are_reported(sealed: Ledger, one: int, other: int) -> None:
    swap = f"UPDATE {EVENTS} SET notification_id = %s {AT}"
    sealed.tamper(f"ALTER TABLE {EVENTS} ALTER notification_id DROP IDENTITY")
    for to, position in ((-1, one), (one, other), (other, -1)):
        assert sealed.tamper(swap, (to, position)) == 1
    assert sealed.findings() == [("moved", one), ("moved", other)]
    assert f"was sealed at {other} stands here" in sealed.verify().findings[0].detail


def test_a_domain_event_moved_into_a_gap_is_reported_at_both_places(sealed: Ledger) -> None:
    sealed.tamper(f"ALTER TABLE {EVENTS} ALTER notification_id DROP IDENTITY")
    sealed.tamper(f"UPDATE {EVENTS} SET notification_id = 15 {AT}", (2,))
    assert sealed.findings() == [("moved", 2), ("moved", 15)]


def test_every_change_is_reported_if_many_were_made(sealed: Ledger) -> None:
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (2,))
    sealed.tamper(f"DELETE FROM {EVENTS} {AT}", (9,))
    sealed.tamper("UPDATE gridproof.forecasts_events SET topic = 'x' WHERE notification_id = 21")
    sealed.record([7])
    assert sealed.findings() == [("changed", 2), ("inserted", 7), ("removed", 9), ("changed", 21)]
    assert [finding.log for finding in sealed.verify().findings][-1] == "forecasts"
    assert sealed.findings(Span(first=7, last=8)) == [("inserted", 7)]
    assert sealed.findings(Span(last=6)) == [("changed", 2)]
    assert sealed.verify(logs=["demand-response"]).findings[-1].position == 9


@pytest.mark.parametrize("position", UNSEALED)
def test_a_change_of_the_tail_is_reported_by_the_ledgers_table(sealed: Ledger, position: int) -> None:
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'x' {AT}", (position,))
    assert sealed.findings() == [("changed", position)]
    assert "not sealed yet" in sealed.only().detail


# ------------------------------------------------------------------------------ the ledger's own tables too


@pytest.mark.parametrize("position", POSITIONS)
def test_a_change_of_only_the_ledgers_table_is_reported(sealed: Ledger, position: int) -> None:
    sealed.replace_entry(position, leaf_hash(b"other"))
    assert sealed.findings() == [("ledger-table", position)]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_change_of_both_tables_is_reported(sealed: Ledger, position: int) -> None:
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'forged' {AT}", (position,))
    row = sealed.store.row(DEMAND_RESPONSE, position)
    assert row is not None
    sealed.replace_entry(position, row.leaf())
    assert sorted(sealed.findings()) == [("changed", position), ("ledger-table", position)]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_removal_from_both_tables_is_reported(sealed: Ledger, position: int) -> None:
    sealed.tamper(f"DELETE FROM {EVENTS} {AT}", (position,))
    sealed.replace_entry(position, None)
    assert ("removed", position) in sealed.findings()
    assert ("ledger-table", position) in sealed.findings()


def make_the_ledger_anew(ledger: Ledger) -> None:
    """Rebuild the ledger's table over the current log with valid hashes. The attacker cannot change the archive."""
    ledger.tamper("DELETE FROM gridproof.ledger_tiles")
    ledger.tamper("UPDATE gridproof.ledger_heads SET size = 0, position = 0")
    ledger.follow()


@pytest.mark.parametrize("log", sorted(TABLES))
@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (["UPDATE {} SET state = 'forged' WHERE notification_id = 9"], [("changed", 9)]),
        (["DELETE FROM {} WHERE notification_id = 9"], [("removed", 9)]),
        (
            ["INSERT INTO {} OVERRIDING SYSTEM VALUE VALUES (gen_random_uuid(), 1, 'x.y.v1', 'x', 7)"],
            [("inserted", 7)],
        ),
        (
            [
                "ALTER TABLE {} ALTER notification_id DROP IDENTITY",
                "UPDATE {} SET notification_id = -1 WHERE notification_id = 3",
                "UPDATE {} SET notification_id = 3 WHERE notification_id = 21",
                "UPDATE {} SET notification_id = 21 WHERE notification_id = -1",
            ],
            [("moved", 3), ("moved", 21)],
        ),
    ],
    ids=["changed", "removed", "inserted", "reordered"],
)
def test_each_kind_of_tampering_is_reported_after_a_rebuild_of_the_ledgers_table(
    sealed: Ledger, log: str, forge: list[str], found: list[tuple[str, int]]
) -> None:
    for statement in forge:
        sealed.tamper(statement.format(f"gridproof.{TABLES[log]}"))
    make_the_ledger_anew(sealed)
    findings = sealed.verify().findings
    assert {finding.log for finding in findings} == {log}
    assert [(one.kind, one.position) for one in findings if one.kind != "ledger-table"] == found


@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (f"DELETE FROM {EVENTS} {AT}", ("removed", 23)),
        (f"UPDATE {EVENTS} SET topic = 'x' {AT}", ("changed", 23)),
        (
            f"INSERT INTO {EVENTS} OVERRIDING SYSTEM VALUE VALUES (gen_random_uuid(), 1, 'x.y.v1', 'x', %s + 1)",
            ("inserted", 24),
        ),
    ],
    ids=["removed", "changed", "inserted"],
)
def test_the_tail_is_checked_only_against_the_ledgers_table(
    sealed: Ledger, forge: str, found: tuple[str, int]
) -> None:
    """The report names the unsealed part, because its table can be forged too."""
    sealed.tamper(forge, (23,))
    assert sealed.findings() == [found]
    assert "not sealed yet" in sealed.only().detail
    make_the_ledger_anew(sealed)
    report = sealed.verify()
    assert report.findings == ()
    assert report.logs[0].unsealed == sealed.store.count_after(DEMAND_RESPONSE, SEALED[-1]) > 0


@pytest.mark.parametrize("position", [4, 9])
def test_a_forged_entry_before_the_tail_is_not_reported_for_the_tail(sealed: Ledger, position: int) -> None:
    """An inserted or removed entry shifts all later ones in the rebuilt table."""
    if position in SEALED:
        sealed.tamper(f"DELETE FROM {EVENTS} {AT}", (position,))
    else:
        sealed.record([position])
    make_the_ledger_anew(sealed)
    told = {position for kind, position in sealed.findings() if kind != "ledger-table"}
    assert told == {position}


def test_a_ledger_rebuilt_over_a_forged_log_is_reported_and_never_sealed(sealed: Ledger) -> None:
    sealed.tamper(f"DELETE FROM {EVENTS} {AT}", (9,))
    sealed.tamper("DELETE FROM gridproof.ledger_tiles")
    sealed.tamper("UPDATE gridproof.ledger_heads SET size = 0, position = 0")
    sealed.tamper("DELETE FROM gridproof.ledger_checkpoints")
    sealed.follow()
    assert ("removed", 9) in sealed.findings()
    with pytest.raises(LedgerContradicted, match=r"another entry 10 than is sealed"):
        sealed.seal()


def test_a_checkpoint_made_after_the_tampering_does_not_hide_it(sealed: Ledger) -> None:
    """The next checkpoint extends the signed one, not the contents of the database."""
    sealed.tamper(f"UPDATE {EVENTS} SET state = 'forged' {AT}", (9,))
    row = sealed.store.row(DEMAND_RESPONSE, 9)
    assert row is not None
    sealed.replace_entry(9, row.leaf())
    assert sealed.seal() is not None
    assert sorted(sealed.findings()) == [("changed", 9), ("ledger-table", 9)]
