"""The schedule only proposes commands; the aggregate decides."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest

from application.command_bus.bus import TooManyConflicts
from application.command_bus.decision_context import CommandContext
from application.commands.dispatch import RestoreDispatch, RetryRestore
from application.commands.dr_event import EndDREvent, PlanDREvent, StartDREvent, StartPreparation
from domain.errors import NotAllowedNow
from interfaces.workers.decide.deadlines import Schedule, proposal
from projections.deadlines import DeadlineKind, DeadlineRow
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.patience import ANSWER_S
from tests.sample_values import DR_EVENT_ID, NOW, TRACE


def deadline(kind: DeadlineKind, facility_id: str | None = None, *, due_at: datetime = NOW) -> DeadlineRow:
    return DeadlineRow(
        kind=kind,
        stream_id=DR_EVENT_ID,
        due_at=due_at,
        dr_event_id=DR_EVENT_ID,
        facility_id=facility_id,
        starts_at=None,
        ends_at=None,
        caused_by=UUID(int=9),
        correlation_id=UUID(int=8),
        trace_id=TRACE,
        tenant="util-1",
    )


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("prepare", StartPreparation(dr_event_id=DR_EVENT_ID)),
        ("start", StartDREvent(dr_event_id=DR_EVENT_ID)),
        ("end", EndDREvent(dr_event_id=DR_EVENT_ID)),
        ("plan_retry", PlanDREvent(dr_event_id=DR_EVENT_ID)),
        ("measure", None),
    ],
)
def test_each_deadline_proposes_its_command(kind: DeadlineKind, command: msgspec.Struct | None) -> None:
    assert proposal(deadline(kind)) == command


def test_a_failed_restore_is_proposed_again_for_its_facility() -> None:
    assert proposal(deadline("restore_retry", "fac-001")) == RetryRestore(
        dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="its restore failed before"
    )
    assert proposal(deadline("restore_retry")) is None
    waiting = RestoreDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-001")
    assert proposal(deadline("restore", "fac-001")) == waiting


@dataclass
class RefusingBus:
    """Records the proposed commands, and refuses all of them."""

    enough: int
    stop: asyncio.Event
    proposed: list[tuple[msgspec.Struct, CommandContext]] = field(default_factory=list)

    def handle(self, command: msgspec.Struct, context: CommandContext) -> None:
        self.proposed.append((command, context))
        if len(self.proposed) == self.enough:
            self.stop.set()
        raise NotAllowedNow("too early")


async def proposals(rows: list[DeadlineRow], *, enough: int) -> tuple[RefusingBus, list[datetime], list[str]]:
    stop = asyncio.Event()
    bus, asked, reached = RefusingBus(enough, stop), list[datetime](), list[str]()

    def due(now: datetime) -> list[DeadlineRow]:
        asked.append(now)
        return [row for row in rows if row.due_at <= now]

    schedule = Schedule(
        due=due,
        plans_due=lambda now: [],
        bus=cast("Any", bus),
        clock=FakeClock(NOW, speed=1e6),
        locks=FakeLocks(),
        reached=lambda name, in_flight: reached.append(f"{name} {in_flight}"),
        alerts=FakeAlertRegistry(),
    )
    async with asyncio.timeout(ANSWER_S):
        await schedule.run(stop)
    return bus, asked, reached


def test_due_commands_are_proposed_with_their_cause_and_a_refusal_is_ignored() -> None:
    rows = [deadline("start"), deadline("measure"), deadline("end", due_at=NOW + timedelta(seconds=1))]
    bus, asked, reached = asyncio.run(proposals(rows, enough=3))
    assert {type(command) for command, _ in bus.proposed} == {StartDREvent}
    assert len(bus.proposed) == 3
    assert set(asked) == {NOW}
    _, context = bus.proposed[0]
    assert context == CommandContext(
        correlation_id=UUID(int=8),
        causation_id=UUID(int=9),
        actor="worker:decide",
        tenant="util-1",
        trace_id=TRACE,
    )
    assert reached[:2] == [
        f"decide.before_proposal StartDREvent of {DR_EVENT_ID}",
        f"decide.after_proposal StartDREvent of {DR_EVENT_ID}",
    ]


def test_conflicts_are_retried_and_do_not_end_the_schedule() -> None:
    """Commands of 2,000 facilities may conflict on the same DR event at that time."""
    stop = asyncio.Event()

    class LosingBus:
        asked = 0

        def handle(self, command: msgspec.Struct, context: CommandContext) -> None:
            self.asked += 1
            if self.asked == 1:
                raise TooManyConflicts("StartDREvent lost 12 races")
            stop.set()

    bus = LosingBus()
    schedule = Schedule(
        due=lambda now: [deadline("start")],
        plans_due=lambda now: [],
        bus=cast("Any", bus),
        clock=FakeClock(NOW, speed=1e6),
        locks=FakeLocks(),
        reached=lambda name, in_flight: None,
        alerts=FakeAlertRegistry(),
    )

    async def scenario() -> None:
        async with asyncio.timeout(ANSWER_S):
            await schedule.run(stop)

    asyncio.run(scenario())
    assert bus.asked == 2
