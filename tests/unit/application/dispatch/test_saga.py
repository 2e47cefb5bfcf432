"""The dispatch saga, rule by rule: the commands that follow from each domain event, and no others."""

import builtins
import socket
from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.commands.dispatch import (
    AbortDispatch,
    AlignDispatch,
    CommitDispatch,
    CompensateDispatch,
    LeaveDispatch,
    NoteRestore,
    PrepareDispatch,
    RestoreDispatch,
)
from application.commands.dr_event import (
    CompleteDREvent,
    FitPlanToForecast,
    MeasureDREvent,
    PlanDREvent,
    ReallocateShortfall,
    ReplanDREvent,
    RequestCallback,
)
from application.event_store import forecasts
from application.sagas.dispatch import RULES, DispatchSaga
from domain.aggregates import DEMAND_RESPONSE_AGGREGATES
from domain.dispatch import Dispatch
from domain.dr_event import Batch, DREvent, Reason
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import Facility
from domain.forecast import Forecast
from domain.program import Program
from tests.architecture.source_tree import imported_modules, parsed, python_files
from tests.measured_figures import figures
from tests.sample_settlement import settlement_figures
from tests.sample_values import DR_EVENT_ID, ENDS_AT, NOW, notice, target

BOTH = ("fac-001", "fac-002")
BATCH = Batch(asked=2, prepared=2, committed=2, failed=0, restored=2)


def recorded(kind: type[DomainEvent], **facts: Any) -> DomainEvent:
    return kind(
        originator_id=DR_EVENT_ID,
        originator_version=4,
        timestamp=NOW,
        correlation_id=UUID(int=1),
        causation_id=UUID(int=2),
        actor="somebody",
        tenant="util-1",
        trace_id="0" * 32,
        **facts,
    )


def of_dispatch(kind: type[DomainEvent], **facts: Any) -> DomainEvent:
    return recorded(kind, dr_event_id=DR_EVENT_ID, facility_id="fac-001", **facts)


def tell(kind: Any) -> RequestCallback:
    return RequestCallback(dr_event_id=DR_EVENT_ID, kind=kind)


def each(kind: Any, **facts: str) -> list[msgspec.Struct]:
    return [kind(dr_event_id=DR_EVENT_ID, facility_id=facility_id, **facts) for facility_id in BOTH]


def one(kind: Any) -> msgspec.Struct:
    command: msgspec.Struct = kind(dr_event_id=DR_EVENT_ID, facility_id="fac-001")
    return command


CLOSE = CompleteDREvent(dr_event_id=DR_EVENT_ID)
ADD_UP = MeasureDREvent(dr_event_id=DR_EVENT_ID)
WHAT_FOLLOWS: list[tuple[DomainEvent, list[msgspec.Struct]]] = [
    (
        recorded(
            DREvent.Accepted,
            notice=notice(),
            program_version=1,
            capacity_kw=200.0,
            capacity_source="forecast",
            shortfall_kw=0.0,
        ),
        [tell("accepted"), PlanDREvent(dr_event_id=DR_EVENT_ID)],
    ),
    (recorded(DREvent.PreparationStarted, facility_ids=BOTH), each(PrepareDispatch)),
    (of_dispatch(Dispatch.Prepared), [one(PrepareDispatch), one(CommitDispatch)]),
    (recorded(DREvent.Started, facility_ids=BOTH), [*each(CommitDispatch), tell("started")]),
    (of_dispatch(Dispatch.Committed), [one(RestoreDispatch), one(AlignDispatch)]),
    (of_dispatch(Dispatch.Recommitted), [one(RestoreDispatch), one(AlignDispatch)]),
    (of_dispatch(Dispatch.RecommitFailed, reason="refused"), [one(RestoreDispatch)]),
    (recorded(DREvent.Ended, facility_ids=BOTH), [*each(RestoreDispatch), CLOSE]),
    (of_dispatch(Dispatch.Restored), [one(NoteRestore), CLOSE]),
    (
        recorded(DREvent.Completed, outcome="full", batch=BATCH, failed_facilities=()),
        [tell("completed"), ADD_UP],
    ),
    (of_dispatch(Dispatch.Measured, figures=figures()), [ADD_UP]),
    (of_dispatch(Dispatch.NotMeasurable, reason="too few days"), [ADD_UP]),
    (
        recorded(
            DREvent.Measured,
            delivered_kw=140.0,
            measured_facilities=2,
            unmeasured_facilities=(),
            unmeasured_reasons={},
        ),
        [tell("measured")],
    ),
    (
        of_dispatch(
            Dispatch.Remeasured,
            revision=2,
            corrected_at=ENDS_AT,
            previous_kw=None,
            reason="readings were corrected",
            figures=figures(),
        ),
        [ADD_UP],
    ),
    (
        of_dispatch(
            Dispatch.MeasurementWithdrawn, revision=2, corrected_at=ENDS_AT, previous_kw=1.0, reason="bad"
        ),
        [ADD_UP],
    ),
    (
        recorded(
            DREvent.Remeasured,
            previous_kw=140.0,
            delivered_kw=90.0,
            measured_facilities=2,
            unmeasured_facilities=(),
            unmeasured_reasons={},
        ),
        [tell("measured")],
    ),
    (
        recorded(DREvent.Settled, figures=settlement_figures(), why="all is measured"),
        [tell("settled")],
    ),
    (
        recorded(
            DREvent.Settled,
            figures=settlement_figures(status="not_settled", reasons=("no_rule",), total=None),
            why="all is measured",
        ),
        [],
    ),
    (
        recorded(
            DREvent.Resettled,
            revision=1,
            figures=settlement_figures(),
            why="corrected readings",
            previous_total="1.00",
            difference="192.00",
        ),
        [tell("resettled")],
    ),
    (
        recorded(DREvent.Rejected, notice=notice(), reasons=(Reason(code="overlap", detail="taken"),)),
        [tell("rejected")],
    ),
    (
        recorded(DREvent.Cancelled, facility_ids=BOTH, reason="rain"),
        [*each(AbortDispatch, reason="the DR event was cancelled"), tell("cancelled")],
    ),
    (
        recorded(DREvent.CancelledWhileActive, facility_ids=BOTH, reason="rain", cancelled_at=NOW),
        [
            *each(LeaveDispatch, cause="cancelled", reason="the DR event was cancelled"),
            tell("cancelled"),
            CLOSE,
        ],
    ),
    (
        recorded(DREvent.WoundUp, batch=BATCH, failed_facilities=()),
        [tell("completed"), ADD_UP],
    ),
    (
        recorded(
            DREvent.Modified,
            notice=notice(modification_number=1),
            capacity_kw=200.0,
            capacity_source="forecast",
            capacity_degraded_kw=0.0,
            shortfall_kw=0.0,
        ),
        [tell("modified"), ReplanDREvent(dr_event_id=DR_EVENT_ID, cause="modified")],
    ),
    (
        recorded(DREvent.Preempted, facility_ids=BOTH, by_dr_event_id=UUID(int=9)),
        [
            *each(LeaveDispatch, cause="preempted", reason="it is not available any more"),
            tell("preempted"),
        ],
    ),
    (
        recorded(DREvent.BatchAborted, facility_ids=BOTH, reason="ended", aborted_at=NOW, while_active=True),
        [*each(LeaveDispatch, cause="batch_aborted", reason="ended"), CLOSE],
    ),
    (
        of_dispatch(Dispatch.LeftEarly, cause="opted_out", reason="guests", left_at=NOW),
        [ReallocateShortfall(dr_event_id=DR_EVENT_ID)],
    ),
    (of_dispatch(Dispatch.LeftEarly, cause="left_out", reason="modified", left_at=NOW), []),
    (
        recorded(Facility.OptedIn, dr_event_id=None, dr_event_ids=(DR_EVENT_ID,), reason="gone"),
        [ReplanDREvent(dr_event_id=DR_EVENT_ID, cause="rejoined")],
    ),
    (
        of_dispatch(
            Dispatch.Amended,
            plan_revision=2,
            starts_at=NOW,
            ends_at=ENDS_AT,
            expires_at=ENDS_AT,
            target_kw=50.0,
            zones=(),
            forecast_id=None,
            data_quality="full",
        ),
        [one(AlignDispatch)],
    ),
    (
        recorded(
            DREvent.Replanned,
            plan_revision=2,
            prepare_at=NOW,
            targets=(target("fac-001"), target("fac-002")),
            missing_kw=0.0,
            cause="shortfall",
        ),
        each(PrepareDispatch),
    ),
    (of_dispatch(Dispatch.PreparationReleased, target_kw=50.0), [one(PrepareDispatch)]),
    (
        of_dispatch(
            Dispatch.Unblocked,
            forecast_id=UUID(int=7),
            forecast_position=7,
            data_quality="full",
            headroom_kw=80.0,
            reason="full",
        ),
        [FitPlanToForecast(dr_event_id=DR_EVENT_ID, facility_id="fac-001"), one(PrepareDispatch)],
    ),
    (of_dispatch(Dispatch.ForecastOverridden, reason="looked"), [one(PrepareDispatch)]),
    (
        of_dispatch(Dispatch.Failed, phase="prepare", reason="refused"),
        [one(CompensateDispatch), ReallocateShortfall(dr_event_id=DR_EVENT_ID), CLOSE],
    ),
    (of_dispatch(Dispatch.Compensated), [one(NoteRestore), CLOSE]),
    (of_dispatch(Dispatch.Aborted, reason="released"), [CLOSE]),
    (
        of_dispatch(Dispatch.RestoredByHand, reason="by the caretaker", zone_ids=("hall",)),
        [one(NoteRestore), CLOSE],
    ),
    (
        of_dispatch(Dispatch.RestoreFailed, reason="no answer", retry_at=ENDS_AT),
        [one(NoteRestore), CLOSE],
    ),
    (
        recorded(Facility.RestoreAwaited, dr_event_id=DR_EVENT_ID, facility_id="fac-001"),
        [CLOSE],
    ),
    (
        recorded(
            Facility.RestoreConfirmed,
            dr_event_id=UUID(int=9),
            facility_id="fac-001",
            dr_event_ids=(DR_EVENT_ID,),
        ),
        [ReplanDREvent(dr_event_id=DR_EVENT_ID, cause="rejoined"), one(PrepareDispatch)],
    ),
]

NOTHING_FOLLOWS: dict[type[DomainEvent], str] = {
    DREvent.Opened: "its judgement stands beside it",
    DREvent.Scheduled: "the schedule proposes the preparation",
    DREvent.PlanningRefused: "the schedule proposes another try",
    DREvent.ModificationRefused: "the door answers; what stood stands",
    DREvent.Withdrawn: "there is nobody to tell, and nothing to undo",
    Dispatch.RestorePlanned: "the schedule proposes each step",
    DREvent.CallbackRequested: "its save writes a row of open work",
    DREvent.CallbackDelivered: "told",
    DREvent.CallbackUndeliverable: "a dead letter and an alert wait for a person",
    Dispatch.Planned: "PreparationStarted reaches it",
    Dispatch.Blocked: "waits for an operator",
    Dispatch.BmsCommandRequested: "its save writes a row of open work",
    Dispatch.BmsCommandReissued: "its save writes a row of open work",
    Dispatch.BmsCommandAttempted: "its outcome follows",
    Dispatch.BmsCommandSucceeded: "the aggregate concludes the phase in the same transaction",
    Dispatch.BmsCommandRefused: "the aggregate concludes the phase in the same transaction",
    Dispatch.BmsCommandGaveUp: "the aggregate concludes the phase in the same transaction",
    Dispatch.VerifiedByBms: "the window runs",
    Dispatch.VerifiedByMeter: "the window runs",
    Dispatch.DriftDetected: "an alert, and a correction in the same transaction",
}


def kinds_of(aggregate: type) -> set[type[DomainEvent]]:
    """The domain events nested in an aggregate, without its bases."""
    nested = [value for value in vars(aggregate).values() if isinstance(value, type)]
    return {
        kind
        for kind in nested
        if issubclass(kind, DomainEvent)
        and not str(kind.__dict__.get("TOPIC", ".event")).endswith(".event")
        and kind.__name__ != "Created"
    }


@pytest.mark.parametrize(
    ("domain_event", "commands"), WHAT_FOLLOWS, ids=[type(e).__qualname__ for e, _ in WHAT_FOLLOWS]
)
def test_a_domain_event_gives_the_commands_of_the_table(
    domain_event: DomainEvent, commands: list[msgspec.Struct]
) -> None:
    assert DispatchSaga().follow(domain_event) == commands
    assert DispatchSaga().follow(domain_event) == commands, "the saga has no state"


def test_every_rule_is_in_the_table_above() -> None:
    assert {type(domain_event) for domain_event, _ in WHAT_FOLLOWS} == set(RULES)


def test_every_domain_event_has_a_rule_or_a_reason_to_have_none() -> None:
    kinds = kinds_of(DREvent) | kinds_of(Dispatch)
    assert len(kinds) > 30
    assert kinds - set(RULES) - set(NOTHING_FOLLOWS) == set()
    assert set(NOTHING_FOLLOWS) - kinds == set()
    assert set(NOTHING_FOLLOWS) & set(RULES) == set()


@pytest.mark.parametrize("aggregate", [Facility, Program, Forecast], ids=lambda kind: kind.__name__)
def test_no_command_follows_from_other_aggregates(aggregate: type) -> None:
    assert aggregate in {*DEMAND_RESPONSE_AGGREGATES, *forecasts.AGGREGATES}
    assert kinds_of(aggregate) & set(RULES) <= {
        *(Facility.OptedIn, Facility.RestoreAwaited, Facility.RestoreConfirmed)
    }


def test_no_command_follows_from_an_unknown_domain_event() -> None:
    class Surprise(DomainEvent, frozen=True, kw_only=True):
        pass

    assert DispatchSaga().follow(recorded(Surprise)) == []
    assert DispatchSaga().follow(recorded(Facility.MaintenanceStarted, reason="boiler")) == []


def test_the_end_of_a_dr_event_without_dispatches_only_completes_it() -> None:
    assert DispatchSaga().follow(recorded(DREvent.Ended, facility_ids=())) == [CLOSE]


def test_the_saga_opens_no_file_and_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay would otherwise command a real building."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the saga opened a file or a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(builtins, "open", refused)
    for domain_event, _ in WHAT_FOLLOWS:
        DispatchSaga().follow(domain_event)


def test_the_saga_imports_only_commands() -> None:
    """It depends on no port, only on domain events and commands."""
    modules = {
        module
        for file in python_files("application/sagas")
        for _, module in imported_modules(parsed(file))
        if module.partition(".")[0] in {"application", "adapters", "interfaces"}
    }
    assert modules
    assert all(module.startswith("application.commands") for module in modules), modules
