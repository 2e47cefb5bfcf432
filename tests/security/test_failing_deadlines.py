"""A deadline whose command fails with any error delays no other deadline, and pages somebody."""

import asyncio
from collections import Counter
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from application.commands.dr_event import PlanDREvent
from application.ports.event_store.event_store import SaveTooLarge
from application.ports.operations.alerts import AlertRegistry
from interfaces.workers.compute import measure
from interfaces.workers.compute.measure import Measuring
from interfaces.workers.decide.deadlines import KINDS, MOST_PLANS, PLANS, Schedule
from interfaces.workers.loops.failing_deadlines import ALERT, RETRY_S, FailingDeadlines, subject_of
from projections.deadlines import DeadlineKind, DeadlineRow
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.public_holidays import FakePublicHolidays
from tests.fakes.read_models import FakeReadModels
from tests.open_alerts import begin_alert
from tests.patience import ANSWER_S
from tests.sample_values import CONTEXT, NOW, TRACE, UTILITY


def deadline(kind: DeadlineKind = "start") -> DeadlineRow:
    dr_event_id = uuid4()
    return DeadlineRow(
        kind=kind,
        stream_id=dr_event_id,
        due_at=NOW,
        dr_event_id=dr_event_id,
        facility_id=None,
        starts_at=None,
        ends_at=None,
        caused_by=CONTEXT.causation_id,
        correlation_id=CONTEXT.correlation_id,
        trace_id=TRACE,
        tenant=UTILITY,
    )


def subjects(alerts: AlertRegistry) -> list[str]:
    return [alert.subject for alert in alerts.listed() if alert.name == ALERT]


@pytest.mark.parametrize("error", [SaveTooLarge("too large"), ValueError("x"), TypeError("x")])
def test_the_deadlines_behind_one_that_fails_are_proposed(error: Exception) -> None:
    rows = [deadline() for _ in range(3)]
    poison, alerts = rows[0].dr_event_id, FakeAlertRegistry()
    proposed: list[UUID] = []
    stop = asyncio.Event()

    class Bus:
        def handle(self, command: Any, context: Any) -> None:
            proposed.append(command.dr_event_id)
            if len(proposed) >= 7:
                stop.set()
            if command.dr_event_id == poison:
                raise error

    schedule = Schedule(
        due=lambda now: rows,
        plans_due=lambda now: [],
        bus=cast("Any", Bus()),
        clock=FakeClock(NOW, speed=1e6),
        locks=FakeLocks(),
        reached=lambda name, in_flight: None,
        alerts=alerts,
    )

    async def scenario() -> None:
        async with asyncio.timeout(ANSWER_S):
            await schedule.run(stop)

    with capture_logs():
        asyncio.run(scenario())
    assert proposed[:3] == [row.dr_event_id for row in rows]
    assert proposed.count(poison) == 1, "it is not tried again at each tick"
    assert subjects(alerts) == [f"start/{poison}"]


def test_planning_again_is_neither_delayed_by_what_is_urgent_nor_forgotten_if_it_fails() -> None:
    """More starts are due than one reading returns."""
    models, alerts, stop = FakeReadModels(), FakeAlertRegistry(), asyncio.Event()
    plan = deadline("plan_retry")
    for row in (plan, *(deadline() for _ in range(501))):
        models.rows["deadlines"].put(row)
    started: Counter[UUID] = Counter()

    class Bus:
        def handle(self, command: Any, context: Any) -> None:
            if isinstance(command, PlanDREvent):
                raise TypeError("a defect")
            started[command.dr_event_id] += 1
            if subjects(alerts) and max(started.values()) >= 3:
                stop.set()

    schedule = Schedule(
        due=partial(models.deadlines.due, kinds=KINDS),
        plans_due=partial(models.deadlines.due, kinds=PLANS, limit=MOST_PLANS),
        bus=cast("Any", Bus()),
        clock=FakeClock(NOW, speed=1e6),
        locks=FakeLocks(),
        reached=lambda name, in_flight: None,
        alerts=alerts,
    )

    async def scenario() -> None:
        async with asyncio.timeout(ANSWER_S):
            await schedule.run(stop)

    with capture_logs():
        asyncio.run(scenario())
    assert subjects(alerts) == [f"plan_retry/{plan.dr_event_id}"]


def test_a_dr_event_that_cannot_be_measured_delays_no_other() -> None:
    rows, alerts, measured = [deadline("measure") for _ in range(3)], FakeAlertRegistry(), list[UUID]()

    class Store:
        def load(self, kind: Any, stream_id: UUID) -> Any:
            if stream_id == rows[0].dr_event_id:
                raise KeyError("a defect")
            measured.append(stream_id)
            return msgspec.defstruct("Loaded", [("state", Any)])(
                msgspec.defstruct("State", [("dispatched", tuple)])(())
            )

    class Telemetry:
        def newest_readings_at(self, facility_ids: Any) -> dict[str, datetime]:
            return {}

    measuring = Measuring(
        public_holidays=FakePublicHolidays(),
        due=lambda now: rows,
        store=cast("Any", Store()),
        telemetry=cast("Any", Telemetry()),
        bus=cast("Any", None),
        clock=FakeClock(NOW),
        alerts=alerts,
    )
    with capture_logs():
        measuring.pass_once()
    assert measured == [row.dr_event_id for row in rows[1:]]
    assert subjects(alerts) == [f"measure/{rows[0].dr_event_id}"]


class Rig:
    def __init__(self, alerts: AlertRegistry | None = None) -> None:
        self.alerts, self.now = alerts or FakeAlertRegistry(), 100.0
        self.failing = FailingDeadlines(
            self.alerts, FakeClock(NOW), {"start", "end"}, monotonic=lambda: self.now
        )

    def fails(self, row: DeadlineRow) -> None:
        with capture_logs():
            self.failing.failed(row, TypeError("a defect"))


def test_a_deadline_that_failed_is_tried_again_after_a_pause_and_its_success_ends_the_alert() -> None:
    rig, row, other = Rig(), deadline(), deadline()
    rig.fails(row)
    assert rig.failing.to_try([row, other]) == [other]
    rig.now += RETRY_S
    assert rig.failing.to_try([row, other]) == [row, other]
    rig.failing.succeeded(row)
    assert subjects(rig.alerts) == []


def test_the_alert_ends_when_the_deadline_is_no_longer_due_also_after_a_restart() -> None:
    rig, row = Rig(), deadline()
    measured = replace(deadline("measure"))
    rig.fails(row)
    begin_alert(rig.alerts, ALERT, subject_of(measured), "of the other worker", at=NOW)
    successor = Rig(rig.alerts)
    assert successor.failing.to_try([row]) == [row]
    assert len(subjects(rig.alerts)) == 2
    successor.failing.to_try([])
    assert subjects(rig.alerts) == [subject_of(measured)]


def test_a_failing_pass_of_corrections_ends_neither_the_worker_nor_the_measurements() -> None:
    stop, alerts = asyncio.Event(), FakeAlertRegistry()

    class Corrections:
        passes = 0

        def reset(self) -> None:
            pass

        def pass_once(self) -> int:
            self.passes += 1
            if self.passes == 1:
                raise KeyError("a defect")
            stop.set()
            return 0

    class Measurements:
        clock = FakeClock(NOW, speed=1e6)
        passes = 0

        def __init__(self) -> None:
            self.alerts = alerts

        def reset(self) -> None:
            pass

        def pass_once(self) -> int:
            self.passes += 1
            return 0

    corrections, measurements = Corrections(), Measurements()

    async def scenario() -> None:
        async with asyncio.timeout(ANSWER_S):
            await measure.run(
                measuring=cast("Any", measurements), others=[corrections], locks=FakeLocks(), stop=stop
            )

    with capture_logs():
        asyncio.run(scenario())
    assert corrections.passes == 2
    raised = [alert for alert in alerts.listed(include_cleared=True) if alert.name == ALERT]
    assert [(one.subject, one.cleared_at is not None) for one in raised] == [("pass/corrections", True)]
