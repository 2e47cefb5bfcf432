"""The callback body agrees with the recorded results, for the whole batch and for each facility."""

import json
from typing import Any

import pytest

from application.commands.dispatch import OverrideForecast
from application.commands.dr_event import CancelDREvent, ModifyDREvent
from application.commands.facility import OptOutFacility
from application.handlers.callback import body as callback_body
from domain.dr_event import DREvent
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, UTILITY, UTILITY_EVENT, judge, notice

THREE = ("fac-001", "fac-002", "fac-003")


def bodies(world: InProcessSystem, kind: str) -> list[dict[str, Any]]:
    requested = [
        e for e in world.recorded(DREvent.CallbackRequested) if isinstance(e, DREvent.CallbackRequested)
    ]
    return [json.loads(e.body) for e in requested if e.kind == kind]


def results(body: dict[str, Any]) -> dict[str, str]:
    return {found["facility_id"]: found["result"] for found in body["facility_results"]}


def test_the_body_has_no_results_before_the_end() -> None:
    world = InProcessSystem.accepted(*THREE).until("active")
    (accepted,), (started,) = bodies(world, "accepted"), bodies(world, "started")
    assert accepted["facilities"] is None
    assert "facility_results" not in accepted
    assert (started["status"], started["event_id"]) == ("active", UTILITY_EVENT)


def test_the_final_body_has_every_facility_once_with_its_reason() -> None:
    world = InProcessSystem.accepted(*THREE).until("active")
    world.do(OptOutFacility(facility_id="fac-002", reason="a concert tonight"))
    world.until("completed")

    (told,) = bodies(world, "completed")
    state = world.dr_event
    assert results(told) == {"fac-001": "committed", "fac-002": "opted_out", "fac-003": "committed"}
    (out,) = [found for found in told["facility_results"] if found["result"] == "opted_out"]
    assert out["reason"] == "a concert tonight"
    assert state.batch is not None
    assert told["facilities"]["opted_out"] == state.batch.opted_out == 1
    assert (told["status"], told["outcome"]) == (state.status, state.outcome)
    assert told["results_complete"] is True


def test_a_cancelled_dr_event_is_reported_with_its_current_status() -> None:
    world = InProcessSystem.accepted(*THREE).until("scheduled")
    world.do(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="storm over"))
    (told,) = bodies(world, "cancelled")
    assert told["status"] == world.dr_event.status == "cancelled"


def test_a_modified_dr_event_is_reported_with_its_new_number_and_target() -> None:
    world = InProcessSystem.accepted(*THREE).until("scheduled")
    changed = notice(notification_id="n-2", modification_number=1, target_kw=90.0, facility_ids=THREE)
    world.do(ModifyDREvent(utility_id=UTILITY, utility_event_id=UTILITY_EVENT, notice=changed))
    (told,) = bodies(world, "modified")
    assert (told["modification_number"], told["target_kw"]) == (1, 90.0)


def test_a_long_list_is_truncated_and_facilities_that_did_not_serve_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callback_body, "MAX_RESULTS", 1)
    world = InProcessSystem.accepted(*THREE)
    world.do(OptOutFacility(facility_id="fac-003", reason="closed")).until("completed")
    (told,) = bodies(world, "completed")
    assert results(told) == {"fac-003": "opted_out"}
    assert told["results_complete"] is False
    assert told["results_url"] == f"/api/dr-events/{DR_EVENT_ID}/dispatches"


def as_recorded(world: InProcessSystem) -> dict[str, tuple[str, str | None, float | None]]:
    """Facility -> result, reason and delivery, as its own dispatch recorded them."""
    found: dict[str, tuple[str, str | None, float | None]] = {}
    for facility_id in THREE:
        state = world.dispatch(facility_id)
        served = state.was_committed and state.left in {None, "cancelled"}
        result = "committed" if served else "opted_out" if state.left == "opted_out" else "failed"
        found[facility_id] = (result, None if served else state.left_reason, state.delivered_kw)
    return found


def body_of(body: dict[str, Any]) -> dict[str, tuple[str, str | None, float | None]]:
    return {
        one["facility_id"]: (one["result"], one.get("reason"), one["delivered_kw"])
        for one in body["facility_results"]
    }


def test_a_dr_event_cancelled_while_active_is_reported_at_once_and_again_with_its_results() -> None:
    world = InProcessSystem.accepted(*THREE).until("active")
    world.do(OptOutFacility(facility_id="fac-002", reason="a concert tonight"))
    world.do(CancelDREvent(dr_event_id=DR_EVENT_ID, reason="storm over"))
    [cancelled], [told] = bodies(world, "cancelled"), bodies(world, "completed")
    state = world.dr_event
    assert cancelled["status"] == told["status"] == state.status == "cancelled_while_active"
    assert "facility_results" not in cancelled, "the buildings were not restored yet"
    assert told["outcome"] == state.outcome
    assert body_of(told) == as_recorded(world)
    assert results(told) == {"fac-001": "committed", "fac-002": "opted_out", "fac-003": "committed"}
    assert {world.dispatch(i).status for i in THREE} == {"restored"}


def test_the_final_body_names_a_facility_that_was_preempted() -> None:
    world = InProcessSystem.accepted(*THREE).until("scheduled")
    world.do(judge("UTIL-OTHER", priority=0, facility_ids=("fac-002",), target_kw=50.0))
    [preempted] = bodies(world, "preempted")
    assert (preempted["event_id"], preempted["status"]) == (UTILITY_EVENT, "scheduled")
    world.until("completed")
    [told] = bodies(world, "completed")
    state = world.dr_event
    assert (told["status"], told["outcome"]) == (state.status, state.outcome) == ("completed", "partial")
    assert body_of(told) == as_recorded(world)
    assert body_of(told)["fac-002"][:2] == ("failed", "it is not available any more")


def readiness(body: dict[str, Any]) -> tuple[int | None, int | None]:
    return body["blocked_facilities"], body["at_risk_facilities"]


def test_blocked_facilities_are_counted_at_the_acceptance_and_the_start_and_named_at_the_end() -> None:
    world = InProcessSystem.accepted(*THREE, degraded=("fac-002", "fac-003")).until("scheduled")
    world.do(OverrideForecast(dr_event_id=DR_EVENT_ID, facility_id="fac-003", reason="I looked"))
    world.until("completed")
    (accepted,), (started,), (completed,) = (bodies(world, k) for k in ("accepted", "started", "completed"))
    assert readiness(accepted) == (2, 0)
    assert readiness(started) == (1, 1)
    assert readiness(completed) == (None, None)
    (failed,) = [one for one in completed["facility_results"] if one["result"] == "failed"]
    assert failed["facility_id"] == "fac-002"
    assert failed["reason"].startswith("blocked: its forecast is degraded_no_weather")


def test_degraded_facilities_of_a_program_that_only_warns_are_at_risk() -> None:
    world = InProcessSystem.accepted(*THREE, degraded=THREE[:2], terms={"forecast_guardrail": "warn"})
    (accepted,), (started,) = bodies(world.until("active"), "accepted"), bodies(world, "started")
    assert readiness(accepted) == readiness(started) == (0, 2)


def test_an_opt_out_before_the_plan_has_its_own_reason() -> None:
    world = InProcessSystem.accepted(*THREE)
    world.scenario.after(OptOutFacility(facility_id="fac-003", reason="closed"))
    (told,) = bodies(world.until("completed"), "completed")
    (out,) = [one for one in told["facility_results"] if one["result"] == "opted_out"]
    assert out["reason"] == "it opted out"
