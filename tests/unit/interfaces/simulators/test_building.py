"""The simulated building: the effect of zones on its load, its state and its journal."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.facility.portfolio_entries import BmsProfile, ZoneEntry
from application.ports.dispatch.building_control import Setpoint, ZoneCommand
from interfaces.simulators.bms.building import Building, Refusal
from interfaces.simulators.bms.journal import (
    JournalEntry,
    curtailed_zones,
    duplicate_actions,
)
from interfaces.simulators.journal import Journal, read_journal

NOON = datetime(2026, 7, 14, 12, tzinfo=UTC)
DR_EVENT = UUID(int=1)
HALL = ZoneEntry(zone_id="hall", curtailable_kw=90.0, rebound_ramp_s=600)
ATRIUM = ZoneEntry(zone_id="atrium", curtailable_kw=30.0, rebound_ramp_s=600)


def order(phase: str, **changes: Any) -> ZoneCommand:
    values: dict[str, Any] = {
        "command_id": uuid4(),
        "dr_event_id": DR_EVENT,
        "facility_id": "fac-001",
        "zone_id": "hall",
        "phase": phase,
        "plan_revision": 1,
        "round": 0,
        "strategy": "setpoint_offset",
        "magnitude": 3.0 if phase in ("prepare", "commit") else 0.0,
        "restore_to": Setpoint(value=22.0, unit="celsius") if phase == "restore" else None,
        "expires_at": NOON + timedelta(hours=1),
    }
    return ZoneCommand(**(values | changes))


def building(
    journal: list[JournalEntry] | None = None, profile: BmsProfile = "two_phase", shed_factor: float = 1.0
) -> Building:
    record = (journal if journal is not None else []).append
    return Building("fac-001", (HALL, ATRIUM), record=record, profile=profile, shed_factor=shed_factor)


def curtailed(**options: Any) -> Building:
    made = building(**options)
    made.execute(order("prepare"), NOON)
    made.execute(order("commit"), NOON)
    return made


def test_the_load_falls_by_the_shed_of_the_committed_zones() -> None:
    made = curtailed()
    assert made.shed_kw(NOON) == pytest.approx(90.0)
    made.execute(order("prepare", zone_id="atrium"), NOON)
    assert made.shed_kw(NOON) == pytest.approx(90.0)
    made.execute(order("commit", zone_id="atrium", magnitude=1.5), NOON)
    assert made.shed_kw(NOON) == pytest.approx(105.0)


def test_a_heated_zone_below_its_lower_comfort_limit_is_a_violation() -> None:
    entry = ZoneEntry(zone_id="hall", curtailable_kw=90.0, max_magnitude=-4.0, lower_comfort_limit_c=19.0)
    for magnitude, violations in ((-3.0, ()), (-3.5, ("comfort_limit",))):
        journal: list[JournalEntry] = []
        made = Building("fac-001", (entry,), record=journal.append)
        for phase in ("prepare", "commit"):
            made.execute(order(phase, magnitude=magnitude), NOON)
        assert journal[-1].violations == violations
        assert made.shed_kw(NOON) == pytest.approx(90.0 * magnitude / -4.0)


def test_halving_the_shed_factor_halves_the_shed() -> None:
    assert curtailed(shed_factor=0.5).shed_kw(NOON) == pytest.approx(curtailed().shed_kw(NOON) / 2)


def test_a_restored_zone_rebounds_and_the_rebound_decays() -> None:
    made = curtailed()
    made.execute(order("restore"), NOON)
    assert made.shed_kw(NOON) == pytest.approx(-9.0)
    assert made.shed_kw(NOON + timedelta(seconds=300)) == pytest.approx(-4.5)
    assert made.shed_kw(NOON + timedelta(seconds=600)) == 0.0


def test_a_curtailed_zone_restores_itself_at_its_expiry_and_journals_it() -> None:
    journal: list[JournalEntry] = []
    made = curtailed(journal=journal)
    made.advance(NOON + timedelta(minutes=59))
    assert made.zone_state("hall", NOON + timedelta(minutes=59)).curtailed
    state = made.zone_state("hall", NOON + timedelta(hours=3))
    assert (state.curtailed, state.setpoint.value) == (False, 22.0)
    expired = journal[-1]
    assert (expired.action, expired.at, expired.curtailed) == ("expired", NOON + timedelta(hours=1), False)
    assert expired.shed_change_kw == pytest.approx(-90.0)


def test_an_expired_preparation_changes_no_load_and_releases_the_zone() -> None:
    journal: list[JournalEntry] = []
    made = building(journal)
    made.execute(order("prepare"), NOON)
    later = NOON + timedelta(hours=2)
    made.advance(later)
    assert [entry.action for entry in journal] == ["prepare"]
    with pytest.raises(Refusal, match="not_prepared"):
        made.execute(order("commit", expires_at=later + timedelta(hours=1)), later)


def test_a_commit_renews_the_expiry() -> None:
    made = building()
    made.execute(order("prepare"), NOON)
    made.execute(order("commit", expires_at=NOON + timedelta(hours=4)), NOON)
    assert made.zone_state("hall", NOON + timedelta(hours=3)).curtailed


def test_an_override_ends_the_curtailment_and_a_later_round_may_commit_again() -> None:
    journal: list[JournalEntry] = []
    made = curtailed(journal=journal)
    made.override("hall", 20.0, NOON)
    state = made.zone_state("hall", NOON)
    assert (state.curtailed, state.setpoint.value) == (False, 20.0)
    assert journal[-1].action == "overridden"
    again = made.execute(order("commit", round=1), NOON)
    assert again.setpoint.value == 25.0
    assert made.execute(order("restore"), NOON).setpoint.value == 22.0


def test_a_zone_of_one_dr_event_is_not_restored_by_another() -> None:
    made = curtailed()
    with pytest.raises(Refusal, match="zone_held"):
        made.execute(order("restore", dr_event_id=UUID(int=2)), NOON)


def test_an_expired_restore_command_is_executed() -> None:
    made = curtailed()
    made.execute(order("restore", expires_at=NOON - timedelta(hours=1)), NOON)
    assert not made.zone_state("hall", NOON).curtailed


def test_a_repeated_command_is_journaled_once_only_with_deduplication() -> None:
    counts: dict[str, int] = {}
    for profile in ("two_phase", "two_phase_no_dedup"):
        journal: list[JournalEntry] = []
        made = building(journal, profile=profile)
        made.execute(order("prepare"), NOON)
        commit = order("commit")
        made.execute(commit, NOON)
        made.execute(commit, NOON)
        counts[profile] = sum(duplicate_actions(journal).values())
    assert counts == {"two_phase": 0, "two_phase_no_dedup": 2}


def test_the_same_action_with_another_command_id_counts_as_a_duplicate() -> None:
    journal: list[JournalEntry] = []
    made = building(journal)
    for _ in range(2):
        made.execute(order("prepare"), NOON)
    assert [key.action for key in duplicate_actions(journal)] == ["prepare"]
    made.execute(order("prepare", round=1), NOON)
    assert len(duplicate_actions(journal)) == 1


def test_the_journal_file_returns_the_entries_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.jsonl"
    assert read_journal(path, JournalEntry) == []
    entries: list[JournalEntry] = []
    journal = Journal(path)
    made = curtailed(journal=entries)
    for entry in entries:
        journal.append(entry)
    assert read_journal(path, JournalEntry) == entries
    with path.open("ab") as file:
        file.write(b'{"at": "2026-')
    assert read_journal(path, JournalEntry) == entries
    journal.close()
    assert made.facility_id == entries[0].facility_id


def test_curtailed_zones_at_any_time_are_read_from_the_journal() -> None:
    journal: list[JournalEntry] = []
    made = curtailed(journal=journal)
    made.execute(order("restore"), NOON + timedelta(minutes=30))
    assert curtailed_zones(journal, NOON - timedelta(minutes=1)) == set()
    assert curtailed_zones(journal, NOON + timedelta(minutes=1)) == {("fac-001", "hall")}
    assert curtailed_zones(journal, NOON + timedelta(minutes=31)) == set()
