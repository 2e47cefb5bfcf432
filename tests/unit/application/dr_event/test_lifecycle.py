"""The life cycle of a DR event over its dispatches: start, end, completion, cancellation, callbacks."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from application.commands.dispatch import OverrideForecast, RecordMeasurement, RecordNotMeasurable
from application.commands.dr_event import (
    CancelDREvent,
    CompleteDREvent,
    MeasureDREvent,
    RecordCallbackDelivered,
    RecordCallbackUndeliverable,
    StartDREvent,
    StartPreparation,
)
from domain.dispatch import Dispatch
from domain.dr_event import Batch, DREvent, DREventStatus
from domain.errors import NotAllowedNow, ReasonRequired, UnknownDREvent
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.given_when_then import fact
from tests.in_process_system import InProcessSystem
from tests.measured_figures import figures
from tests.sample_values import DR_EVENT_ID, NOW, STARTS_AT, TRACE, provenance

CANCEL = CancelDREvent(dr_event_id=DR_EVENT_ID, reason="the heat wave is over")
START = StartDREvent(dr_event_id=DR_EVENT_ID)


def world(*facility_ids: str, **details: Any) -> InProcessSystem:
    return InProcessSystem.accepted(*(facility_ids or ("fac-001", "fac-002")), **details)


def measurement(facility_id: str, delivered_kw: float) -> RecordMeasurement:
    return RecordMeasurement(dr_event_id=DR_EVENT_ID, facility_id=facility_id, figures=figures(delivered_kw))


def reservations(there: InProcessSystem, facility_id: str) -> dict[str, Any]:
    return dict(there.scenario.store.load(Facility, facility_stream_id(facility_id)).state.reservations)


def callback_kinds(there: InProcessSystem) -> list[str]:
    return [work.kind for work in there.callbacks]


def test_the_whole_life_cycle_ends_with_every_building_restored() -> None:
    there = world().until("completed")
    assert (there.dr_event.outcome, there.dr_event.status) == ("full", "completed")
    assert there.dr_event.batch == Batch(asked=2, prepared=2, committed=2, failed=0, restored=2)
    assert [action for _, action in there.actions()] == ["prepare"] * 2 + ["commit"] * 2 + ["restore"] * 2
    assert {there.dispatch(i).status for i in ("fac-001", "fac-002")} == {"restored"}
    assert callback_kinds(there) == ["accepted", "started", "completed"]


def test_every_domain_event_can_be_traced_to_its_cause() -> None:
    """From the webhook to the restore: one correlation, one trace, one tenant, and causes that are in the
    log."""
    there = world().until("completed")
    scenario = [
        e for e in there.recorded() if isinstance(e, DREvent.Event | Dispatch.Event | Facility.Reserved)
    ]
    assert len(scenario) > 30
    known: set[UUID] = {e.domain_event_id for e in scenario}
    known |= {UUID(str(key)) for i in ("fac-001", "fac-002") for key in there.dispatch(i).commands}
    for domain_event in scenario:
        assert domain_event.correlation_id == UUID(int=0xC0)
        assert domain_event.trace_id == TRACE
        assert domain_event.tenant == "util-1"
        assert domain_event.recorded_at >= NOW
        if domain_event.actor in {"saga:dispatch", "worker:dispatch"}:
            assert domain_event.causation_id in known
        else:
            assert (
                domain_event.actor == "utility:util-1"
            )  # the actor of the webhook and the schedule in this test
    assert {e.actor for e in scenario} == {"utility:util-1", "saga:dispatch", "worker:dispatch"}


def test_completion_counts_facilities_by_their_last_phase() -> None:
    """One facility refuses its prepare, one its commit, one cannot be restored, and one completes everything."""
    there = world("fac-001", "fac-002", "fac-003", "fac-004", target_kw=200.0).until("scheduled")
    there.control.fail_next("fac-002", "refuse")
    there.until("preparing")
    there.control.fail_next("fac-003", "refuse")
    there.until("active")
    there.control.fail_next("fac-004", "refuse")
    there.until("completed")

    assert there.dr_event.batch == Batch(asked=4, prepared=3, committed=2, failed=2, restored=1)
    assert there.dr_event.outcome == "partial"
    [completed] = there.recorded(DREvent.Completed)
    assert isinstance(completed, DREvent.Completed)
    assert completed.failed_facilities == ("fac-002", "fac-003")
    assert [there.dispatch(f"fac-00{n}").status for n in (1, 2, 3, 4)] == [
        "restored",
        "failed",
        "compensated",
        "restore_failed",
    ]


def test_a_dr_event_in_which_no_facility_served_has_failed() -> None:
    there = world("fac-001").until("scheduled")
    there.control.fail_next("fac-001", "refuse")
    there.until("completed")
    assert (there.dr_event.outcome, there.dr_event.delivered_kw) == ("failed", 0.0)
    assert callback_kinds(there)[-2:] == ["completed", "measured"]


def test_a_dr_event_is_not_completed_while_a_dispatch_is_open() -> None:
    there = world().until("active")
    there.scenario.when(CompleteDREvent(dr_event_id=DR_EVENT_ID)).then()
    assert there.dr_event.status == "active"


def test_the_facilities_are_released_at_the_completion_and_count_as_served() -> None:
    there = world().until("completed")
    for facility_id in ("fac-001", "fac-002"):
        assert reservations(there, facility_id) == {}
        state = there.scenario.store.load(Facility, facility_stream_id(facility_id)).state
        assert list(state.served) == [str(DR_EVENT_ID)]


def test_a_blocked_dispatch_without_an_override_does_not_take_part() -> None:
    there = world(degraded=("fac-002",)).until("active")
    assert (there.dispatch("fac-001").was_committed, there.dispatch("fac-002").status) == (True, "failed")
    assert "fac-002" not in {facility_id for facility_id, _ in there.actions()}
    there.until("completed")
    assert there.dr_event.batch == Batch(asked=2, prepared=1, committed=1, failed=1, restored=1)


@pytest.mark.parametrize("override_in", ["scheduled", "preparing"])
def test_an_overridden_dispatch_takes_part(override_in: DREventStatus) -> None:
    there = world(degraded=("fac-002",)).until(override_in)
    there.do(OverrideForecast(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="I looked"))
    there.until("completed")
    assert there.dr_event.outcome == "full"


def test_an_override_after_the_start_is_refused() -> None:
    there = world(degraded=("fac-002",)).until("active")
    late = OverrideForecast(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="I looked")
    there.scenario.when(late).refused(NotAllowedNow, saying="is failed")


@pytest.mark.parametrize(
    ("status", "dispatched", "actions"),
    [
        ("accepted", None, []),
        ("scheduled", "aborted", []),
        ("preparing", "aborted", ["prepare", "abort"]),
    ],
)
def test_a_cancellation_before_the_start_releases_the_facilities_and_zones(
    status: DREventStatus, dispatched: str | None, actions: list[str]
) -> None:
    there = world("fac-001", target_kw=50.0)
    if status != "accepted":
        there.until(status)
    outcome = there.scenario.when(CANCEL)
    outcome.then(
        fact(DREvent.Cancelled, reason="the heat wave is over"), fact(Facility.Released, served=False)
    )
    assert (outcome.reply.status, reservations(there, "fac-001")) == ("cancelled", {})
    there.settle()

    assert there.dr_event.status == "cancelled"
    assert [action for _, action in there.actions()] == actions
    if dispatched is not None:
        assert there.dispatch().status == dispatched
    assert callback_kinds(there)[-1] == "cancelled"
    assert there.scenario.store.load(Facility, facility_stream_id("fac-001")).state.served == {}


def test_a_prepare_in_flight_at_a_cancellation_is_undone_after_its_answer() -> None:
    there = world("fac-001", target_kw=50.0).until("scheduled")
    there.scenario.at(STARTS_AT - timedelta(minutes=10))
    there.scenario.after(StartPreparation(dr_event_id=DR_EVENT_ID))
    there.relay_all()
    assert there.dispatch().status == "preparing"
    there.do(CANCEL)
    assert (there.dispatch().status, [a for _, a in there.actions()]) == ("aborted", ["prepare", "abort"])


def test_a_dr_event_cannot_be_cancelled_after_its_end() -> None:
    there = world().until("completed")
    there.scenario.when(CANCEL).refused(NotAllowedNow, saying="is completed")


def test_a_repeated_cancellation_changes_nothing_and_is_reported_as_repeated() -> None:
    there = world()
    there.scenario.after(CANCEL)
    again = there.scenario.when(CANCEL)
    again.then()
    assert again.reply.status == "cancelled"


def test_a_cancellation_needs_a_reason_and_a_dr_event() -> None:
    there = world()
    there.scenario.when(CancelDREvent(dr_event_id=DR_EVENT_ID, reason=" ")).refused(ReasonRequired)
    there.scenario.when(CancelDREvent(dr_event_id=UUID(int=9), reason="x")).refused(UnknownDREvent)


def test_a_window_that_begins_without_a_plan_ends_the_dr_event_as_failed() -> None:
    there = world()
    there.scenario.forecasts.recorded.clear()
    there.settle()
    assert there.dr_event.status == "accepted"
    there.scenario.at(STARTS_AT)
    there.scenario.when(START).then(
        fact(
            DREvent.Completed,
            outcome="failed",
            batch=Batch(asked=2, prepared=0, committed=0, failed=2, restored=0),
            failed_facilities=("fac-001", "fac-002"),
        ),
        fact(Facility.Released, served=False),
        fact(Facility.Released, served=False),
    )
    there.settle()
    assert callback_kinds(there) == ["accepted", "completed", "measured"]


def test_a_start_without_a_preparation_prepares_late() -> None:
    there = world().until("scheduled")
    there.scenario.at(STARTS_AT)
    there.scenario.when(START).then(fact(DREvent.PreparationStarted), fact(DREvent.Started))
    there.settle()
    assert [action for _, action in there.actions()] == ["prepare", "prepare", "commit", "commit"]
    there.until("completed")
    assert there.dr_event.outcome == "full"


def test_an_early_or_repeated_start_command_records_nothing() -> None:
    there = world().until("scheduled")
    there.scenario.when(START).then()
    there.until("active")
    there.scenario.when(START).then()


def test_the_measurement_is_summed_once_every_served_dispatch_is_measured() -> None:
    there = world("fac-001", "fac-002", "fac-003", target_kw=150.0).until("completed")
    there.do(measurement("fac-001", 40.0))
    assert there.dr_event.settlement_status == "none"
    there.do(
        RecordNotMeasurable(dr_event_id=DR_EVENT_ID, facility_id="fac-002", reason="too few days"),
        measurement("fac-003", 50.5),
    )
    [measured] = there.recorded(DREvent.Measured)
    assert isinstance(measured, DREvent.Measured)
    assert (measured.delivered_kw, measured.measured_facilities) == (90.5, 2)
    assert measured.unmeasured_facilities == ("fac-002",)
    assert callback_kinds(there)[-1] == "measured"
    there.scenario.when(MeasureDREvent(dr_event_id=DR_EVENT_ID)).then()


def test_what_could_not_be_measured_is_null_and_never_zero() -> None:
    there = world("fac-001", "fac-002").until("completed")
    for facility_id, reason in (("fac-001", "no readings"), ("fac-002", "no readings")):
        there.do(RecordNotMeasurable(dr_event_id=DR_EVENT_ID, facility_id=facility_id, reason=reason))
    [measured] = there.recorded(DREvent.Measured)
    assert (measured.delivered_kw, measured.measured_facilities) == (None, 0)
    assert measured.unmeasured_facilities == ("fac-001", "fac-002")
    assert measured.unmeasured_reasons == {"no readings": 2}
    assert there.dr_event.settlement_status == "not_measurable"
    body = json.loads(there.callbacks[-1].body)
    assert (body["kind"], body["settlement_status"]) == ("not_measurable", "not_measurable")
    assert (body["delivered_kw"], body["measured_facilities"], body["unmeasured_facilities"]) == (None, 0, 2)
    assert body["unmeasured_reasons"] == {"no readings": 2}
    assert {one["delivered_kw"] for one in body["facility_results"]} == {None}
    assert {one["not_measurable_reason"] for one in body["facility_results"]} == {"no readings"}


def test_a_dr_event_without_a_curtailed_building_delivered_zero_and_not_null() -> None:
    there = world("fac-001", degraded=("fac-001",)).until("completed")
    there.do(MeasureDREvent(dr_event_id=DR_EVENT_ID))
    [measured] = there.recorded(DREvent.Measured)
    assert (measured.delivered_kw, measured.measured_facilities) == (0.0, 0)
    assert there.dr_event.settlement_status == "measured"


def test_reasons_are_counted_and_limited_in_number() -> None:
    there = world().until("completed")
    measured = there.scenario.store.load(DREvent, DR_EVENT_ID)
    reasons = {f"only {days} of 45 baseline days": days for days in range(1, 41)}
    measured.measure(
        provenance(),
        delivered_kw=None,
        measured_facilities=0,
        unmeasured_facilities=("fac-001",),
        unmeasured_reasons=reasons,
    )
    recorded = measured.state.unmeasured_reasons
    assert len(recorded) == 20
    assert sum(recorded.values()) == sum(reasons.values())
    assert recorded["other reasons"] == sum(range(1, 22))
    assert recorded["only 40 of 45 baseline days"] == 40


def test_a_callback_is_recorded_before_it_is_sent() -> None:
    there = world().settle()
    [requested] = there.recorded(DREvent.CallbackRequested)
    assert isinstance(requested, DREvent.CallbackRequested)
    assert (requested.url, requested.kind) == ("https://utility.example/callbacks", "accepted")
    body = json.loads(requested.body)
    assert body["kind"] == "accepted"
    assert body["event_id"] == "UTIL-2026-0042"
    assert body["dr_event_id"] == str(DR_EVENT_ID)
    assert body["occurred_at"] == "2026-07-14T12:00:00Z"
    assert there.callbacks[0].body == requested.body


def test_the_outcome_of_a_callback_is_recorded() -> None:
    there = world().settle()
    callback_id = there.callbacks[0].callback_id
    lost = RecordCallbackUndeliverable(
        dr_event_id=DR_EVENT_ID, callback_id=callback_id, kind="accepted", attempts=9, reason="410"
    )
    there.scenario.when(lost).then(fact(DREvent.CallbackUndeliverable, attempts=9))
    arrived = RecordCallbackDelivered(
        dr_event_id=DR_EVENT_ID, callback_id=callback_id, kind="accepted", attempts=10, status_code=204
    )
    there.scenario.when(arrived).then(fact(DREvent.CallbackDelivered, status_code=204))
    there.scenario.when(arrived).then()
    there.scenario.when(lost).then()


def test_the_outcome_of_a_callback_that_was_never_requested_is_refused() -> None:
    stray = RecordCallbackDelivered(
        dr_event_id=DR_EVENT_ID, callback_id=UUID(int=5), kind="started", attempts=1, status_code=200
    )
    world().scenario.when(stray).refused(NotAllowedNow, saying="never requested")
