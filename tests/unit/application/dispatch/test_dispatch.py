"""Commands on dispatches: the DR event decides whether a command still applies, whenever it arrives."""

from datetime import timedelta
from typing import Any

import pytest

from application.commands.dispatch import (
    AttemptBmsCommand,
    CommitDispatch,
    CompensateDispatch,
    DispatchCommand,
    OverrideForecast,
    PrepareDispatch,
    RecordBmsGivenUp,
    RecordBmsSuccess,
    RecordMeterVerification,
    RecordZoneStates,
    ReissueBmsCommand,
    RestoreDispatch,
    RetryRestore,
    ZoneObservation,
)
from application.commands.dr_event import CancelDREvent, StartDREvent, StartPreparation
from application.dispatch.time_limits import TIME_LIMITS
from domain.dispatch import Dispatch, Setpoint
from domain.dr_event import DREventStatus
from domain.errors import NotAllowedNow, ReasonRequired, UnknownBmsCommand, UnknownDispatch
from domain.identifiers import bms_command_id
from tests.fakes.dispatch.building_control import PlannedFault
from tests.given_when_then import fact
from tests.in_process_system import PREPARE_AT, InProcessSystem
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT

FOUND = Setpoint(value=22.0, unit="celsius")
SILENT: list[PlannedFault] = ["time_out"] * TIME_LIMITS.max_tries


def world(**details: Any) -> InProcessSystem:
    return InProcessSystem.accepted("fac-001", target_kw=75.0, **details)


def of(kind: type[DispatchCommand], **facts: Any) -> DispatchCommand:
    return kind(dr_event_id=DR_EVENT_ID, facility_id="fac-001", **facts)


def command_id(phase: str, round_number: int = 1) -> Any:
    return bms_command_id(DR_EVENT_ID, "fac-001", "hall", phase, plan_revision=1, round_number=round_number)


@pytest.mark.parametrize("status", ["scheduled", "completed"])
def test_nothing_is_prepared_before_the_lead_time_or_after_the_end(status: DREventStatus) -> None:
    there = world().until(status)
    there.scenario.when(of(PrepareDispatch)).then()


def test_a_prepare_must_be_sent_before_the_start_and_expires_after_the_end() -> None:
    there = (
        world().until("scheduled").scenario.at(PREPARE_AT).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    )
    [requested] = there.when(of(PrepareDispatch)).recorded
    assert isinstance(requested, Dispatch.BmsCommandRequested)
    command = requested.command
    assert (command.command_id, command.phase, command.round) == (command_id("prepare"), "prepare", 1)
    assert (command.not_after, command.expires_at) == (STARTS_AT, ENDS_AT + timedelta(minutes=30))
    assert (command.magnitude, command.restore_to) == (2.25, None)
    there.when(of(PrepareDispatch)).then()


def test_a_commit_is_bounded_by_the_sla_and_by_the_end() -> None:
    there = world().until("preparing").scenario.at(STARTS_AT).after(StartDREvent(dr_event_id=DR_EVENT_ID))
    [requested] = there.when(of(CommitDispatch)).recorded
    assert isinstance(requested, Dispatch.BmsCommandRequested)
    assert requested.command.not_after == STARTS_AT + timedelta(seconds=900)


def test_a_late_commit_is_never_sent_after_the_end() -> None:
    there = world().until("preparing").scenario.at(STARTS_AT).after(StartDREvent(dr_event_id=DR_EVENT_ID))
    [requested] = there.at(ENDS_AT - timedelta(minutes=1)).when(of(CommitDispatch)).recorded
    assert isinstance(requested, Dispatch.BmsCommandRequested)
    assert requested.command.not_after == ENDS_AT


def test_nothing_is_committed_before_the_start() -> None:
    world().until("preparing").scenario.when(of(CommitDispatch)).then()


def test_a_prepared_dispatch_of_a_cancelled_dr_event_is_aborted() -> None:
    there = world().until("preparing")
    there.scenario.after(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="rain"))
    [requested] = there.scenario.when(of(CommitDispatch)).recorded
    assert isinstance(requested, Dispatch.BmsCommandRequested)
    assert requested.command.phase == "abort"


def test_nothing_is_restored_during_the_window() -> None:
    world().until("active").scenario.when(of(RestoreDispatch)).then()


def test_a_restore_sends_the_setpoint_that_prepare_reported() -> None:
    there = world().until("completed")
    command = there.dispatch().latest("restore")["hall"].command
    assert command.restore_to == FOUND
    assert (command.magnitude, command.not_after) == (0.0, None)


def test_a_dispatch_whose_commit_failed_is_compensated() -> None:
    there = world().until("preparing")
    there.control.fail_next("fac-001", "refuse")
    there.until("active")
    assert there.dispatch().status == "compensated"
    assert [action for _, action in there.actions()] == ["prepare", "abort"]
    there.scenario.when(of(CompensateDispatch)).then()


def test_attempts_are_numbered_and_allowed_only_for_an_open_command() -> None:
    there = (
        world().until("scheduled").scenario.at(PREPARE_AT).after(StartPreparation(dr_event_id=DR_EVENT_ID))
    )
    there.after(of(PrepareDispatch))
    attempt = of(AttemptBmsCommand, command_id=command_id("prepare"))
    assert there.when(attempt).reply == 1
    assert there.when(attempt).reply == 2
    success = of(
        RecordBmsSuccess,
        command_id=command_id("prepare"),
        executed_at=PREPARE_AT,
        setpoint=FOUND,
        learned_by="answer",
    )
    there.when(success).then(fact(Dispatch.BmsCommandSucceeded), fact(Dispatch.Prepared))
    there.when(success).then()
    there.when(attempt).refused(NotAllowedNow, saying="already succeeded")


def test_an_outcome_of_a_command_that_was_never_requested_is_refused() -> None:
    there = world().until("preparing")
    stray = of(RecordBmsGivenUp, command_id=command_id("commit", 7), was_sent=True, reason="?")
    there.scenario.when(stray).refused(UnknownBmsCommand, saying="never requested of fac-001")


def test_an_operator_may_replay_a_failed_restore_but_not_a_failed_prepare() -> None:
    there = world().until("scheduled")
    there.control.fail_next("fac-001", *SILENT)
    there.until("preparing")
    replay = of(ReissueBmsCommand, command_id=command_id("prepare"), reason="the network is back")
    there.scenario.when(replay).refused(NotAllowedNow, saying="its dispatch has failed and was compensated")

    there = world().until("active")
    there.control.fail_next("fac-001", *SILENT)
    there.until("completed")
    assert there.dispatch().status == "restore_failed"
    wordless = of(ReissueBmsCommand, command_id=command_id("restore"), reason="")
    there.scenario.when(wordless).refused(ReasonRequired)
    replay = of(ReissueBmsCommand, command_id=command_id("restore"), reason="the network is back")
    there.scenario.when(replay).then(fact(Dispatch.BmsCommandReissued, issue=2))
    there.scenario.when(replay).refused(NotAllowedNow, saying="is requested")
    there.settle()
    assert there.dispatch().status == "restored"
    assert [action for _, action in there.actions()].count("restore") == 1


def test_a_failed_abort_may_be_replayed_until_its_deadline() -> None:
    there = world().until("preparing")
    there.control.fail_next("fac-001", "refuse", *SILENT)
    there.until("active")
    replay = of(ReissueBmsCommand, command_id=command_id("abort"), reason="the network is back")
    expires_at = ENDS_AT + timedelta(minutes=30)
    there.scenario.at(expires_at).when(replay).refused(NotAllowedNow, saying="is not sent any more")
    there.scenario.at(expires_at - timedelta(seconds=1)).when(replay).then(
        fact(Dispatch.BmsCommandReissued, issue=2)
    )


def test_a_failed_restore_is_retried_until_it_succeeds() -> None:
    there = world().until("active")
    there.control.fail_next("fac-001", "refuse")
    there.until("completed")
    retry = of(RetryRestore, reason="its restore failed before")
    for refused in range(2, 5):
        there.control.fail_next("fac-001", "refuse")
        there.do(retry)
        assert there.dispatch().latest("restore")["hall"].command.round == refused
        assert there.dispatch().status == "restore_failed"
    there.do(retry)
    assert there.dispatch().status == "restored"
    there.scenario.when(retry).then()


def test_a_dispatch_is_verified_by_its_bms_and_then_by_the_meter() -> None:
    there = world().until("active")
    assert (
        there.dispatch().status == "verified_by_bms"
    )  # the dispatch worker queried the BMS after the commit
    seen = of(RecordZoneStates, zones=(ZoneObservation(zone_id="hall", setpoint=FOUND, curtailed=True),))
    there.scenario.when(seen).then()
    meter = of(RecordMeterVerification, delivered_kw=70.0, measured_at=STARTS_AT + timedelta(minutes=5))
    there.scenario.when(meter).then(fact(Dispatch.VerifiedByMeter, delivered_kw=70.0))
    there.scenario.when(meter).then()


def test_an_override_needs_a_reason_and_a_blocked_dispatch() -> None:
    there = world(degraded=("fac-001",)).until("scheduled")
    there.scenario.when(of(OverrideForecast, reason="")).refused(ReasonRequired)
    there.scenario.when(of(OverrideForecast, reason="I looked")).then(
        fact(Dispatch.ForecastOverridden, reason="I looked")
    )
    there.scenario.when(of(OverrideForecast, reason="I looked")).refused(NotAllowedNow)


def test_a_command_to_a_facility_without_a_dispatch_is_refused_by_name() -> None:
    there = world().until("scheduled")
    stranger = PrepareDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-404")
    there.scenario.when(stranger).refused(UnknownDispatch, saying="fac-404 has no dispatch")
