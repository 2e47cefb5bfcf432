"""A dispatch; which command is allowed in which state is tested in
tests/property/dispatch/test_state_machine.py.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from domain.dispatch import RESTORE_RETRY, Dispatch, Setpoint
from domain.errors import UnknownBmsCommand
from domain.identifiers import bms_command_id, dispatch_id
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT, provenance
from tests.state_walks import DispatchWalk, dispatch_walk


def walked(*steps: str, zones: tuple[str, ...] = ("hall",)) -> DispatchWalk:
    walk = dispatch_walk(zones)
    for step in steps:
        walk.take(step)
    return walk


def command_id(zone: str, phase: str, round_number: int = 1) -> UUID:
    return bms_command_id(DR_EVENT_ID, "fac-001", zone, phase, plan_revision=1, round_number=round_number)


def status(walk: DispatchWalk) -> str:
    return walk.aggregate.state.status


def outcome(walk: DispatchWalk, zone: str, phase: str, step: str, round_number: int = 1) -> None:
    walk.choose = lambda _: command_id(zone, phase, round_number)
    walk.take(step)
    del walk.choose


def test_every_domain_event_names_its_dr_event_and_facility() -> None:
    walk = walked("prepare", "success", "commit", "success", "restore", "success", "measure")
    assert walk.aggregate.id == dispatch_id(DR_EVENT_ID, "fac-001")
    assert len(walk.recorded) > 9
    for domain_event in walk.recorded:
        assert isinstance(domain_event, Dispatch.Event)
        assert (domain_event.dr_event_id, domain_event.facility_id) == (DR_EVENT_ID, "fac-001")


def test_a_phase_is_concluded_by_the_last_of_its_zones() -> None:
    walk = walked("prepare", zones=("hall", "roof"))
    outcome(walk, "roof", "prepare", "success")
    assert status(walk) == "preparing"
    outcome(walk, "hall", "prepare", "success")
    assert status(walk) == "prepared"


def test_one_failed_zone_fails_the_facility_once_the_others_have_an_outcome() -> None:
    walk = walked("prepare", zones=("hall", "roof"))
    outcome(walk, "hall", "prepare", "refusal")
    assert status(walk) == "preparing"
    outcome(walk, "roof", "prepare", "success")
    assert status(walk) == "failed"
    assert walk.aggregate.state.failure == "prepare did not succeed: hall refused"
    assert walk.aggregate.state.to_undo() == [("roof", "abort")]
    assert not walk.aggregate.state.is_final


def test_a_failure_names_the_outcome_of_each_zone() -> None:
    walk = walked("prepare", zones=("hall", "roof"))
    outcome(walk, "hall", "prepare", "gave_up")
    outcome(walk, "roof", "prepare", "refusal")
    assert walk.aggregate.state.failure == "prepare did not succeed: hall gave up, roof refused"


def test_each_zone_of_a_partly_committed_facility_is_undone_according_to_its_outcome() -> None:
    walk = walked("prepare", zones=("attic", "hall", "roof"))
    for zone in ("attic", "hall", "roof"):
        outcome(walk, zone, "prepare", "success")
    walk.take("commit")
    outcome(walk, "attic", "commit", "refusal")
    outcome(walk, "hall", "commit", "success")
    outcome(walk, "roof", "commit", "gave_up")
    assert walk.aggregate.state.to_undo() == [("attic", "abort"), ("hall", "restore"), ("roof", "restore")]

    walk.take("compensate")
    outcome(walk, "hall", "restore", "success")
    outcome(walk, "roof", "restore", "success")
    assert status(walk) == "compensating"
    outcome(walk, "attic", "abort", "success")
    assert (status(walk), walk.aggregate.state.is_final) == ("compensated", True)


def test_each_zone_is_restored_to_its_own_setpoint() -> None:
    walk = walked("prepare", zones=("hall", "roof"))
    for zone, value in (("hall", 21.5), ("roof", 23.0)):
        walk.aggregate.command_succeeded(
            provenance(),
            command_id=command_id(zone, "prepare"),
            executed_at=STARTS_AT,
            setpoint=Setpoint(value=value, unit="celsius"),
            learned_by="answer",
        )
    walk.take("commit")
    for zone in ("hall", "roof"):
        outcome(walk, zone, "commit", "success")
    walk.take("restore")
    restores = walk.aggregate.state.latest("restore")
    found = {zone: record.command.restore_to for zone, record in restores.items()}
    assert found == {
        "hall": Setpoint(value=21.5, unit="celsius"),
        "roof": Setpoint(value=23.0, unit="celsius"),
    }


def test_only_the_unrestored_zones_of_a_failed_restore_are_retried() -> None:
    walk = walked("prepare", zones=("attic", "hall", "roof"))
    for phase in ("prepare", "commit", "restore"):
        for zone in ("attic", "hall"):
            outcome(walk, zone, phase, "success" if (zone, phase) != ("hall", "restore") else "refusal")
        outcome(walk, "roof", phase, "success" if phase != "restore" else "gave_up")
        walk.take({"prepare": "commit", "commit": "restore", "restore": "retry_restore"}[phase])
    latest = walk.aggregate.state.latest("restore")
    known = {zone: (r.command.round, r.issue, r.state) for zone, r in latest.items()}
    assert known == {
        "attic": (1, 1, "succeeded"),
        "hall": (2, 1, "requested"),  # Refused, so certainly not executed: a new round.
        "roof": (1, 2, "requested"),  # Unknown outcome: the same command is issued again.
    }


def test_a_failed_restore_has_the_time_of_its_retry() -> None:
    walk = walked("prepare", "success", "commit", "success", "restore", "refusal")
    failed = walk.recorded[-1]
    assert isinstance(failed, Dispatch.RestoreFailed)
    assert failed.retry_at == failed.recorded_at + RESTORE_RETRY


def test_a_second_report_of_an_outcome_never_changes_the_first() -> None:
    walk = walked("prepare", "success")
    before = walk.aggregate.state
    for step in ("refusal", "gave_up", "never_sent", "success"):
        walk.take(step)
    assert walk.aggregate.state == before


def test_a_command_expires_after_the_window_and_not_before() -> None:
    walk = walked("prepare", "success", "commit")
    commands = [record.command for record in walk.aggregate.state.commands.values()]
    assert {command.expires_at for command in commands} == {ENDS_AT + timedelta(minutes=30)}


def test_an_outcome_of_an_unknown_command_is_refused() -> None:
    with pytest.raises(UnknownBmsCommand, match="was never requested of fac-001"):
        walked("success")


@pytest.mark.parametrize("fault", ["refusal", "gave_up", "never_sent"])
def test_the_pause_between_retries_of_a_restore_grows(fault: str) -> None:
    walk = walked("prepare", "success", "commit", "success", "restore")
    pauses_s = []
    for _ in range(12):
        walk.take(fault)
        failed = walk.recorded[-1]
        assert isinstance(failed, Dispatch.RestoreFailed)
        pauses_s.append((failed.retry_at - failed.recorded_at).total_seconds())
        walk.take("retry_restore")
    assert pauses_s == [60, 120, 240, 480, *[900] * 8]


def test_after_a_manual_restore_no_zone_is_curtailed_and_only_the_unrestored_zones_are_named() -> None:
    walk = walked("prepare", zones=("hall", "roof"))
    for zone in ("hall", "roof"):
        outcome(walk, zone, "prepare", "success")
    walk.take("commit")
    for zone in ("hall", "roof"):
        outcome(walk, zone, "commit", "success")
    walk.take("restore")
    outcome(walk, "hall", "restore", "success")
    outcome(walk, "roof", "restore", "gave_up")
    assert (status(walk), set(walk.aggregate.state.curtailed_at)) == ("restore_failed", {"roof"})
    walk.take("restored_by_hand")
    done = walk.recorded[-1]
    assert isinstance(done, Dispatch.RestoredByHand)
    assert done.zone_ids == ("roof",)
    assert (status(walk), walk.aggregate.state.curtailed_at) == ("restored", {})
