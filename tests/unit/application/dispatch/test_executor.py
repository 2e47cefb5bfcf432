"""A recorded BMS command gets a recorded outcome. It is never sent twice, guessed about or sent too late."""

import asyncio
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from datetime import timedelta
from typing import cast
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from application.command_bus.batching import CommandBatcher
from application.command_bus.bus import CommandBus
from application.commands.dispatch import (
    AttemptBmsCommand,
    CommitDispatch,
    DispatchCommand,
    PrepareDispatch,
    RestoreDispatch,
    RetryRestore,
)
from application.commands.dr_event import EndDREvent, PlanDREvent, StartDREvent, StartPreparation
from application.dispatch.execution.executor import DispatchExecutor
from application.dispatch.time_limits import TIME_LIMITS
from application.event_store.event_mapper import UnknownTopic
from application.facility.portfolio_entries import BmsProfile
from application.ports.clock import ClockSkewed
from application.ports.dispatch.building_control import BmsBusy, BmsConnection, CommandReceipt, ZoneCommand
from application.ports.dispatch.open_work import OpenWork
from application.ports.dispatch.requested_work import BmsTask, BmsWork
from application.ports.operations.dead_letters import DeadLetter
from domain.dispatch import CommandRecord, Dispatch, DispatchState, Phase
from domain.identifiers import dispatch_id
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.journal import JournalEntry, duplicate_actions
from interfaces.workers.watch.restore_monitor import RestoreMonitor
from tests.fakes.dispatch.building_control import FakeBuildingControl, PlannedFault
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import Scenario, given
from tests.open_alerts import look_at_letters
from tests.sample_values import (
    CONTEXT,
    DR_EVENT_ID,
    ENDS_AT,
    NOW,
    STARTS_AT,
    TRACE,
    facility_entry,
    forecast,
    judge,
    portfolio_commands,
)

ENTRY = facility_entry("fac-001")
PREPARE_AT = STARTS_AT - timedelta(minutes=10)


class WorkerKilled(BaseException):
    """Simulates a SIGKILL: nothing of the worker runs afterwards."""


@dataclass
class ExecutorRig:
    """A dispatch executor over a building in memory; reached failpoints are recorded."""

    story: Scenario
    journal: list[JournalEntry] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)
    kill_at: str | None = None

    def __post_init__(self) -> None:
        self.story.clock.speed = 1e6  # back-off costs no wall time
        self.dead_letters, self._alerts = FakeDeadLetters(), FakeAlertRegistry()
        self.build("two_phase")

    def build(self, profile: BmsProfile) -> None:
        self.building = Building("fac-001", ENTRY.zones, record=self.journal.append, profile=profile)
        self.control = FakeBuildingControl([self.building], clock=self.story.clock)
        self.calls = DispatchExecutor(
            store=self.story.store,
            commands=CommandBatcher(self.story.bus),
            control=self.control,
            clock=self.story.clock,
            dead_letters=self.dead_letters,
            alerts=self._alerts,
            reached=self._reached,
        )

    @property
    def alerts(self) -> FakeAlertRegistry:
        """After a look of the monitors."""
        models = FakeReadModels(self.story.store.read_after(0, 10_000))
        RestoreMonitor(models.dispatches, self._alerts, self.story.clock).check()
        look_at_letters(self.dead_letters, self._alerts, at=self.story.clock.now())
        return self._alerts

    def fail_next(self, *faults: str) -> None:
        self.control.fail_next("fac-001", *cast("tuple[PlannedFault, ...]", faults))

    @property
    def bus(self) -> CommandBus:
        return self.story.bus

    @property
    def dispatch(self) -> DispatchState:
        return self.story.store.load(Dispatch, dispatch_id(DR_EVENT_ID, "fac-001")).state

    def newest(self, phase: Phase) -> CommandRecord:
        return self.dispatch.latest(phase)["hall"]

    def work(self, phase: Phase | None, task: BmsTask = "command") -> BmsWork:
        return BmsWork(
            task=task,
            dr_event_id=DR_EVENT_ID,
            facility_id="fac-001",
            command_id=None if phase is None else self.newest(phase).command.command_id,
            issue=1 if phase is None else self.newest(phase).issue,
            correlation_id=UUID(int=1),
            causation_id=UUID(int=2),
            tenant="util-1",
            trace_id=TRACE,
        )

    def carry_out(self, phase: Phase) -> None:
        asyncio.run(self.calls.carry_out(self.work(phase)))

    def recorded(self, kind: type[Dispatch.Event]) -> list[Dispatch.Event]:
        return [e for e in self.story.store.domain_events if isinstance(e, kind)]

    def _reached(self, name: str, in_flight: str) -> None:
        self.reached.append(f"{name} {in_flight.partition(' ')[0]}")
        if name == self.kill_at:
            self.kill_at = None
            raise WorkerKilled(name)

    def at_commit(self) -> "ExecutorRig":
        self.carry_out("prepare")
        self.story.at(STARTS_AT).after(StartDREvent(dr_event_id=DR_EVENT_ID), _of(CommitDispatch))
        return self

    def at_restore(self) -> "ExecutorRig":
        self.at_commit().carry_out("commit")
        self.story.at(ENDS_AT).after(EndDREvent(dr_event_id=DR_EVENT_ID), _of(RestoreDispatch))
        return self


def _of(kind: type[DispatchCommand]) -> DispatchCommand:
    return kind(dr_event_id=DR_EVENT_ID, facility_id="fac-001")


@pytest.fixture
def rig() -> ExecutorRig:
    """One dispatch whose prepare is requested, ten minutes before the start."""
    story = (
        given()
        .after(*portfolio_commands(ENTRY))
        .with_forecasts(
            forecast("fac-001", at=NOW), forecast("fac-001", at=PREPARE_AT - timedelta(minutes=5))
        )
    )
    story.after(judge(facility_ids=("fac-001",), target_kw=80.0))
    story.after(PlanDREvent(dr_event_id=DR_EVENT_ID)).at(PREPARE_AT)
    story.after(StartPreparation(dr_event_id=DR_EVENT_ID), _of(PrepareDispatch))
    assert story.store.load(Dispatch, dispatch_id(DR_EVENT_ID, "fac-001")).state.status == "preparing"
    return ExecutorRig(story)


def test_an_answer_is_recorded_with_the_reported_setpoint(rig: ExecutorRig) -> None:
    rig.carry_out("prepare")

    assert (rig.dispatch.status, rig.newest("prepare").attempts) == ("prepared", 1)
    assert rig.dispatch.previous["hall"].value == 22.0
    [succeeded] = rig.recorded(Dispatch.BmsCommandSucceeded)
    assert isinstance(succeeded, Dispatch.BmsCommandSucceeded)
    assert (succeeded.learned_by, succeeded.actor, succeeded.tenant) == (
        "answer",
        "worker:dispatch",
        "util-1",
    )
    assert (succeeded.correlation_id, succeeded.trace_id) == (UUID(int=1), TRACE)
    assert succeeded.causation_id == succeeded.command_id


def test_the_attempt_is_recorded_before_the_call_and_the_outcome_after_it(rig: ExecutorRig) -> None:
    rig.kill_at = "dispatch.before_call"
    with pytest.raises(WorkerKilled):
        rig.carry_out("prepare")
    assert (rig.newest("prepare").attempts, rig.control.sent) == (1, [])

    rig.kill_at = "dispatch.after_call"
    with pytest.raises(WorkerKilled):
        rig.carry_out("prepare")
    assert (rig.newest("prepare").state, len(rig.control.sent)) == ("requested", 1)


def test_a_complete_dispatch_performs_one_action_in_each_phase(rig: ExecutorRig) -> None:
    rig.at_restore().carry_out("restore")
    assert [entry.action for entry in rig.journal] == ["prepare", "commit", "restore"]
    assert (rig.dispatch.status, rig.journal[-1].curtailed, rig.journal[-1].setpoint) == (
        "restored",
        False,
        22.0,
    )
    assert rig.alerts.listed() == []


def test_a_refused_status_query_is_not_a_refused_command(rig: ExecutorRig) -> None:
    """The commit was executed and its answer lost. A refused status query does not undo it."""
    rig.at_commit().fail_next("lost_answer", "refuse")
    rig.carry_out("commit")
    assert rig.recorded(Dispatch.BmsCommandRefused) == []
    [_, committed] = rig.recorded(Dispatch.BmsCommandSucceeded)
    assert isinstance(committed, Dispatch.BmsCommandSucceeded)
    assert (committed.learned_by, rig.dispatch.status) == ("status_query", "committed")


def test_a_failed_command_of_unknown_status_counts_as_sent(rig: ExecutorRig) -> None:
    rig.at_commit().fail_next("lost_answer", *["refuse"] * TIME_LIMITS.max_tries)
    rig.carry_out("commit")
    [gave_up] = rig.recorded(Dispatch.BmsCommandGaveUp)
    assert isinstance(gave_up, Dispatch.BmsCommandGaveUp)
    assert gave_up.was_sent
    [letter] = rig.dead_letters.listed()
    assert "its status query was refused" in letter.reason


def test_a_refusal_is_recorded_and_not_repeated(rig: ExecutorRig) -> None:
    rig.fail_next("refuse")
    rig.carry_out("prepare")

    [refused] = rig.recorded(Dispatch.BmsCommandRefused)
    assert isinstance(refused, Dispatch.BmsCommandRefused)
    assert (refused.code, rig.dispatch.status) == ("local_override", "failed")
    assert (rig.control.sent, rig.journal, rig.dead_letters.listed()) == ([], [], [])


@pytest.mark.parametrize("fault", ["lost_answer", "invalid_answer"])
def test_a_command_that_the_bms_reports_as_executed_is_not_sent_again(rig: ExecutorRig, fault: str) -> None:
    rig.at_commit()
    rig.fail_next(fault)
    rig.carry_out("commit")

    assert [command.phase for command in rig.control.sent] == ["prepare", "commit"]
    succeeded = rig.recorded(Dispatch.BmsCommandSucceeded)[-1]
    assert isinstance(succeeded, Dispatch.BmsCommandSucceeded)
    assert (succeeded.learned_by, rig.dispatch.status) == ("status_query", "committed")
    assert rig.newest("commit").attempts == 1


def test_a_command_unknown_to_the_bms_is_sent_again_with_the_same_id(rig: ExecutorRig) -> None:
    rig.at_commit()
    rig.fail_next("time_out")
    rig.carry_out("commit")

    assert rig.newest("commit").attempts == 2
    assert [entry.action for entry in rig.journal] == ["prepare", "commit"]
    assert rig.journal[-1].command_id == rig.newest("commit").command.command_id
    assert rig.dispatch.status == "committed"


def test_a_command_is_not_sent_again_while_its_status_is_unavailable(rig: ExecutorRig) -> None:
    """The command is sent once, and all answers are lost. Its status is queried until the command is given up."""
    rig.at_commit()
    rig.fail_next("lost_answer", *["time_out"] * (TIME_LIMITS.max_tries - 1))
    rig.carry_out("commit")

    assert len([command for command in rig.control.sent if command.phase == "commit"]) == 1
    [gave_up] = rig.recorded(Dispatch.BmsCommandGaveUp)
    assert isinstance(gave_up, Dispatch.BmsCommandGaveUp)
    assert gave_up.was_sent
    assert rig.dispatch.to_undo() == [("hall", "restore")]


def test_a_command_that_cannot_be_encoded_is_parked_at_once_as_not_sent(
    rig: ExecutorRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def execute(_: object, command: ZoneCommand) -> CommandReceipt:
        asked.append(command.zone_id)
        raise ValueError("no such strategy")

    monkeypatch.setattr(rig.control, "execute", execute)
    rig.carry_out("prepare")
    [gave_up] = rig.recorded(Dispatch.BmsCommandGaveUp)
    assert isinstance(gave_up, Dispatch.BmsCommandGaveUp)
    assert (asked, gave_up.was_sent) == (["hall"], False)
    [letter] = rig.dead_letters.listed()
    assert letter.reason == "it cannot be expressed for the BMS: no such strategy"
    assert [alert.name for alert in rig.alerts.listed()] == ["command_dead_lettered"]


def test_a_stream_written_by_a_newer_release_does_not_fail_the_command(
    rig: ExecutorRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is not given up: its work is delivered again, to a worker that can read the stream."""
    rig.fail_next("unreachable")
    handle = CommandBatcher.handle

    async def unreadable(commands: CommandBatcher, command: object, *context: object) -> object:
        if isinstance(command, AttemptBmsCommand):
            raise UnknownTopic("a newer release wrote it")
        return await handle(commands, command, *context)  # type: ignore[arg-type]

    monkeypatch.setattr(CommandBatcher, "handle", unreadable)
    with pytest.raises(UnknownTopic):
        rig.carry_out("prepare")
    assert rig.recorded(Dispatch.BmsCommandGaveUp) == []
    assert rig.dead_letters.listed() == []


@pytest.mark.parametrize(
    ("asked_s", "least_s"), [(60.0, 60.0), (86_400.0, TIME_LIMITS.longest_busy_wait_s), (0.0, 0.0)]
)
def test_a_busy_bms_is_retried_after_its_requested_pause_within_limits(
    rig: ExecutorRig, monkeypatch: pytest.MonkeyPatch, asked_s: float, least_s: float
) -> None:
    executed, waits = rig.control.execute, list[float]()

    async def execute(connection: BmsConnection, command: ZoneCommand) -> CommandReceipt:
        if not waits:
            raise BmsBusy("HTTP 429", asked_s)
        return await executed(connection, command)

    async def pause(_: DispatchExecutor, number: int, least: float = 0.0) -> None:
        waits.append(least)

    monkeypatch.setattr(rig.control, "execute", execute)
    monkeypatch.setattr(DispatchExecutor, "pause", pause)
    rig.carry_out("prepare")
    assert waits == [least_s]
    assert rig.dispatch.status == "prepared"


def test_pauses_between_attempts_grow_with_jitter_up_to_a_maximum(
    rig: ExecutorRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BMSs that failed together are not called again at the same moment."""
    slept: list[float] = []

    async def sleep(wall_s: float) -> None:
        slept.append(wall_s * rig.story.clock.speed)

    async def paused() -> None:
        for number in range(8):
            for _ in range(20):
                await rig.calls.pause(number)

    monkeypatch.setattr("application.dispatch.execution.executor.asyncio.sleep", sleep)
    asyncio.run(paused())
    for number in range(8):
        drawn, longest_s = slept[number * 20 : number * 20 + 20], min(30.0, 2.0 * 2**number)
        assert longest_s * 0.499 < min(drawn) < max(drawn) < longest_s * 1.001


def test_a_command_to_an_unreachable_bms_counts_as_not_sent(rig: ExecutorRig) -> None:
    rig.fail_next(*["unreachable"] * TIME_LIMITS.max_tries)
    rig.carry_out("prepare")

    [gave_up] = rig.recorded(Dispatch.BmsCommandGaveUp)
    assert isinstance(gave_up, Dispatch.BmsCommandGaveUp)
    assert (gave_up.was_sent, gave_up.attempts) == (False, TIME_LIMITS.max_tries)
    assert (rig.newest("prepare").state, rig.dispatch.status) == ("refused", "failed")
    assert rig.control.sent == []


def test_a_command_that_was_sent_once_counts_as_sent_after_later_failures(rig: ExecutorRig) -> None:
    rig.at_commit()
    faults = ["time_out", *["unreachable"] * (2 * TIME_LIMITS.max_tries)]
    rig.fail_next(*faults)
    rig.carry_out("commit")

    [gave_up] = rig.recorded(Dispatch.BmsCommandGaveUp)
    assert isinstance(gave_up, Dispatch.BmsCommandGaveUp)
    assert gave_up.was_sent


def test_an_unreachable_bms_that_comes_back_is_served(rig: ExecutorRig) -> None:
    rig.fail_next(*["unreachable"] * (TIME_LIMITS.max_tries - 1))
    rig.carry_out("prepare")
    assert rig.dispatch.status == "prepared"


def test_after_the_deadline_nothing_is_sent_and_an_alert_is_raised(rig: ExecutorRig) -> None:
    deadline = rig.newest("prepare").command.not_after
    assert deadline is not None
    rig.story.at(deadline)
    rig.carry_out("prepare")

    assert rig.control.sent == []
    [gave_up] = rig.recorded(Dispatch.BmsCommandGaveUp)
    assert isinstance(gave_up, Dispatch.BmsCommandGaveUp)
    assert (gave_up.was_sent, gave_up.attempts) == (False, 0)
    assert f"not done by {deadline}" in gave_up.reason
    [letter] = rig.dead_letters.listed(queue="bms_command")
    assert (letter.subject, letter.reason) == ("fac-001", gave_up.reason)
    [alert] = rig.alerts.listed()
    assert (alert.name, alert.subject) == ("command_dead_lettered", "fac-001")


def test_a_clock_that_was_just_set_ahead_gives_up_no_command(rig: ExecutorRig) -> None:
    """No save guards the dead letter and the page, which come before the record."""

    def confirm_clock() -> None:
        raise ClockSkewed("the clock of this process is +3600.0 s from the database's")

    rig.calls = with_fields(rig.calls, confirm_clock=confirm_clock)
    rig.story.at(STARTS_AT + timedelta(hours=1))
    with pytest.raises(ClockSkewed):
        rig.carry_out("prepare")
    assert (rig.dead_letters.listed(), rig.alerts.listed()) == ([], [])
    assert rig.newest("prepare").state == "requested"


def test_after_the_deadline_the_status_of_the_call_is_still_queried(rig: ExecutorRig) -> None:
    """A worker died after its call. Its successor is too late to call, but still queries the status."""
    rig.kill_at = "dispatch.after_call"
    with pytest.raises(WorkerKilled):
        rig.carry_out("prepare")
    rig.story.at(STARTS_AT + timedelta(hours=1))
    rig.carry_out("prepare")

    assert (rig.dispatch.status, len(rig.control.sent)) == ("prepared", 1)
    assert rig.dead_letters.listed() == []


def test_after_the_deadline_a_command_that_was_never_received_fails(rig: ExecutorRig) -> None:
    rig.kill_at = "dispatch.before_call"
    with pytest.raises(WorkerKilled):
        rig.carry_out("prepare")
    rig.story.at(STARTS_AT + timedelta(hours=1))
    rig.carry_out("prepare")
    assert (rig.dispatch.status, rig.control.sent) == ("failed", [])
    assert len(rig.dead_letters.listed()) == 1


def test_a_command_with_an_outcome_is_skipped(rig: ExecutorRig) -> None:
    rig.carry_out("prepare")
    head = rig.story.store.head()
    rig.carry_out("prepare")
    assert (rig.story.store.head(), len(rig.control.sent)) == (head, 1)


def test_a_command_that_was_never_requested_is_skipped(rig: ExecutorRig) -> None:
    head = rig.story.store.head()
    asyncio.run(rig.calls.carry_out(rig.work(None)))
    assert (rig.story.store.head(), rig.control.sent) == (head, [])


def test_the_status_of_an_attempted_command_is_queried_before_it_is_sent(rig: ExecutorRig) -> None:
    """The worker that attempted it may have died after the answer arrived."""
    command_id = rig.newest("prepare").command.command_id
    rig.bus.handle(
        AttemptBmsCommand(dr_event_id=DR_EVENT_ID, facility_id="fac-001", command_id=command_id), CONTEXT
    )
    rig.fail_next("time_out")  # the status query
    rig.carry_out("prepare")

    # The query timed out, was repeated, and returned `unknown`; only then was the command sent.
    assert (len(rig.control.sent), rig.newest("prepare").attempts) == (1, 2)


@pytest.mark.parametrize("profile", ["two_phase", "two_phase_no_dedup"])
@pytest.mark.parametrize("phase", ["prepare", "commit", "restore"])
@pytest.mark.parametrize("point", ["before_call", "after_call", "after_record"])
def test_a_worker_killed_at_any_point_leaves_exactly_one_action(
    rig: ExecutorRig, phase: Phase, point: str, profile: BmsProfile
) -> None:
    rig.build(profile)
    if phase == "commit":
        rig.at_commit()
    elif phase == "restore":
        rig.at_restore()
    rig.kill_at = f"dispatch.{point}"
    with pytest.raises(WorkerKilled):
        rig.carry_out(phase)
    rig.carry_out(phase)

    assert rig.newest(phase).state == "succeeded"
    assert [entry.action for entry in rig.journal].count(phase) == 1
    assert duplicate_actions(rig.journal) == {}


def test_a_restore_has_no_deadline(rig: ExecutorRig) -> None:
    rig.at_restore()
    assert rig.newest("restore").command.not_after is None
    rig.story.at(ENDS_AT + timedelta(days=3))
    rig.carry_out("restore")
    assert rig.dispatch.status == "restored"


def test_a_failed_restore_raises_a_page_and_is_retried(rig: ExecutorRig) -> None:
    rig.at_restore()
    rig.fail_next(*["time_out"] * TIME_LIMITS.max_tries)
    rig.carry_out("restore")

    [failed] = rig.recorded(Dispatch.RestoreFailed)
    assert isinstance(failed, Dispatch.RestoreFailed)
    assert failed.retry_at == ENDS_AT + timedelta(seconds=60)
    assert rig.alerts.open_by_name() == {"restore_failing": 1, "command_dead_lettered": 1}
    assert len(rig.dead_letters.listed()) == 1

    first = rig.newest("restore").command
    rig.story.at(failed.retry_at).after(
        RetryRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="its restore failed before")
    )
    rig.carry_out("restore")
    assert rig.newest("restore").command == first, "the outcome is unknown, so the command is unchanged"
    assert rig.dispatch.status == "restored"
    assert rig.alerts.open_by_name() == {"command_dead_lettered": 1}, "a person has not seen the letter"
    assert duplicate_actions(rig.journal) == {}


def test_the_work_of_an_earlier_issue_leaves_the_command_to_that_of_the_newer_issue(rig: ExecutorRig) -> None:
    """It may be taken late, after a worker died before it finished it, and others were requested in between."""
    rig.at_restore()
    earlier = rig.work("restore")
    rig.fail_next(*["time_out"] * TIME_LIMITS.max_tries)
    rig.carry_out("restore")
    rig.story.after(RetryRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="again"))
    before = (rig.dispatch, len(rig.journal), rig.dead_letters.listed())

    asyncio.run(rig.calls.carry_out(earlier))
    asyncio.run(rig.calls.park(earlier, "a defect"))
    assert (rig.dispatch, len(rig.journal), rig.dead_letters.listed()) == before
    rig.carry_out("restore")
    assert rig.dispatch.status == "restored"


def test_a_refused_restore_is_retried_with_a_new_command(rig: ExecutorRig) -> None:
    rig.at_restore()
    rig.fail_next("refuse")
    rig.carry_out("restore")
    [alert] = rig.alerts.listed()
    assert (alert.name, alert.severity) == ("restore_failing", "page")

    rig.story.after(RetryRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="again"))
    assert rig.newest("restore").command.round == 2
    rig.carry_out("restore")
    assert (rig.dispatch.status, rig.alerts.listed()) == ("restored", [])


def test_a_permanently_refused_restore_raises_one_page_and_no_dead_letter(rig: ExecutorRig) -> None:
    rig.at_restore()
    for _ in range(6):
        rig.fail_next("refuse")
        rig.carry_out("restore")
        rig.story.after(RetryRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="again"))
    assert [alert.name for alert in rig.alerts.listed(include_cleared=True)] == ["restore_failing"]
    assert rig.dead_letters.listed() == []


@pytest.mark.parametrize("fault", ["unspeakable", "unreachable", "time_out"])
def test_a_repeatedly_failing_restore_has_one_open_dead_letter(
    rig: ExecutorRig, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    async def execute(_: object, command: ZoneCommand) -> CommandReceipt:
        raise ValueError("no such strategy")

    rig.at_restore()
    if fault == "unspeakable":
        monkeypatch.setattr(rig.control, "execute", execute)

    def fail_again(*issues: int) -> None:
        for issue in issues:
            rig.fail_next(*([] if fault == "unspeakable" else [fault] * TIME_LIMITS.max_tries))
            work = replace(rig.work("restore"), causation_id=UUID(int=issue))
            asyncio.run(rig.calls.carry_out(work))
            rig.story.after(RetryRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-001", reason="again"))

    fail_again(1, 2, 3, 4)
    assert len(rig.recorded(Dispatch.BmsCommandGaveUp)) == 4
    [letter] = rig.dead_letters.listed(status=None)
    assert rig.alerts.open_by_name() == {"restore_failing": 1, "command_dead_lettered": 1}

    now = rig.story.clock.now()
    rig.dead_letters.decide(letter.dead_letter_id, status="discarded", by="me", reason="seen", at=now)
    fail_again(5, 6)
    assert len(rig.dead_letters.listed()) == 1


def test_a_dead_letter_of_another_dr_event_or_message_does_not_suppress_a_new_one(rig: ExecutorRig) -> None:
    rig.at_restore()
    row = OpenWork(number=7, kind="bms", queue="fac-001", position=1, tries=1, holder=1)
    asyncio.run(rig.calls.park_row(row, "no intent at position 1"))
    work = replace(rig.work("restore"), command_id=UUID(int=77))
    other = DeadLetter(
        dead_letter_id=UUID(int=78),
        queue="bms_command",
        subject="fac-001",
        reason="of another DR event",
        body=msgspec.json.encode(work),
        parked_at=NOW,
    )
    rig.dead_letters.park(other)
    rig.fail_next(*["time_out"] * TIME_LIMITS.max_tries)
    rig.carry_out("restore")
    assert len(rig.dead_letters.listed()) == 3


def test_the_bms_verifies_a_commit(rig: ExecutorRig) -> None:
    rig.at_commit().carry_out("commit")
    rig.fail_next("time_out")
    asyncio.run(rig.calls.verify(rig.work(None, "verify")))
    assert (rig.dispatch.status, rig.alerts.listed()) == ("verified_by_bms", [])

    head = rig.story.store.head()
    asyncio.run(rig.calls.verify(rig.work(None, "verify")))
    assert rig.story.store.head() == head


def test_drift_is_recorded_and_alerted(rig: ExecutorRig) -> None:
    rig.at_commit().carry_out("commit")
    rig.building.override("hall", 21.0, rig.story.clock.now())
    asyncio.run(rig.calls.verify(rig.work(None, "verify")))

    [drift] = rig.recorded(Dispatch.DriftDetected)
    assert isinstance(drift, Dispatch.DriftDetected)
    assert (drift.zone_id, drift.found.value, drift.curtailed) == ("hall", 21.0, False)
    [alert] = rig.alerts.listed()
    assert (alert.name, alert.subject) == ("bms_drift", "fac-001")
    assert rig.dispatch.status == "committed"


def test_drift_ends_when_a_poll_finds_the_building_as_commanded(rig: ExecutorRig) -> None:
    rig.at_commit().carry_out("commit")
    commanded = rig.building.zone_state("hall", rig.story.clock.now()).setpoint.value
    rig.building.override("hall", 21.0, rig.story.clock.now())
    asyncio.run(rig.calls.reconcile(rig.work(None, "reconcile")))
    assert rig.alerts.open_by_name() == {"bms_drift": 1}
    rig.carry_out("commit")
    assert rig.building.zone_state("hall", rig.story.clock.now()).setpoint.value == commanded
    asyncio.run(rig.calls.reconcile(rig.work(None, "reconcile")))
    assert rig.alerts.open_by_name() == {}
