"""DR events are settled by themselves, and again after a change; a failing one delays no other."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from application.commands.dr_event import ModifyDREvent
from application.commands.program import AgreeProgram
from application.ports.clock import ClockSkewed
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.failpoints import no_failpoint
from domain.dr_event import DREvent, EventPrice
from domain.errors import SettlementImpossible
from domain.program.settlement_rule import Deadline, Energy
from interfaces.workers.compute.failing_subjects import FailingSubjects
from interfaces.workers.compute.settle import ALERT, RETRY_S, RIPE_AFTER, Settling
from interfaces.workers.compute.waiting_settlements import READER, Pause
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_log import FakeEventLog
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.event_store.reader_positions import FakeReaderPositions
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.in_process_system import InProcessSystem
from tests.sample_values import (
    DR_EVENT_ID,
    ENDS_AT,
    NOW,
    STARTS_AT,
    UTILITY,
    UTILITY_EVENT,
    notice,
    program_entry,
    provenance,
)
from tests.settled_system import MEASURE, RULE, SETTLE, completed, corrected_to, in_force, measured

HOUR = timedelta(hours=1)


def settling(
    there: InProcessSystem,
    positions: FakeReaderPositions | None = None,
    reached: Callable[[str, str], None] = no_failpoint,
    confirm_clock: Callable[[], None] = lambda: None,
) -> Settling:
    return Settling(
        event_log=there.scenario.store,
        positions=positions or FakeReaderPositions(),
        store=there.scenario.store,
        row_of=lambda key: None,
        bus=there.scenario.bus,
        clock=there.scenario.clock,
        failing=FailingSubjects(there.alerts, there.scenario.clock, alert=ALERT, retry_s=RETRY_S),
        confirm_clock=confirm_clock,
        reached=reached,
    )


def settlements(there: InProcessSystem) -> list[Any]:
    return there.recorded(DREvent.Settled) + there.recorded(DREvent.Resettled)


def later(there: InProcessSystem, by: timedelta) -> None:
    there.scenario.at(there.scenario.clock.now() + by)


def test_a_dr_event_is_settled_by_itself_once_all_is_measured() -> None:
    there = completed()
    worker = settling(there)
    assert (worker.pass_once(), settlements(there)) == (0, [])
    there.scenario.after(*(one for one in measured_commands()), MEASURE)
    assert worker.pass_once() == 1
    (settled,) = settlements(there)
    assert (settled.figures.total, settled.actor) == ("300.00", "worker:compute")
    assert settled.why == "every facility is measured or not measurable"
    cause = there.recorded(DREvent.Measured)[0]
    assert (settled.causation_id, settled.tenant) == (cause.domain_event_id, UTILITY)
    assert worker.pass_once() == 0
    assert len(settlements(there)) == 1


def measured_commands() -> list[msgspec.Struct]:
    from tests.settled_system import measured_as

    return [measured_as("fac-001", 440.0), measured_as("fac-002", 460.0)]


def test_corrections_of_several_facilities_give_one_revision_that_names_them() -> None:
    there = measured()
    worker = settling(there)
    worker.pass_once()
    there.scenario.after(corrected_to("fac-001", 450.0), corrected_to("fac-002", 470.0), MEASURE)
    assert worker.pass_once() == 0  # others may follow
    later(there, RIPE_AFTER)
    assert worker.pass_once() == 1
    _, again = settlements(there)
    assert (again.revision, again.difference) == (1, "-60.00")
    assert again.why == "measured again: fac-001, fac-002"


def corrections(there: InProcessSystem, worker: Settling, span: timedelta) -> int:
    """The number of revisions while readings of a meter are corrected every hour for `span`."""
    ends_at, number = there.scenario.clock.now() + span, 0
    while there.scenario.clock.now() < ends_at:
        number += 1
        there.scenario.after(corrected_to("fac-001", 400.0 + number % 97, data_hash=f"{number}"), MEASURE)
        later(there, HOUR)
        worker.pass_once()
    return len(settlements(there))


def test_revisions_of_a_meter_that_is_corrected_all_the_time_are_ever_further_apart_up_to_a_day() -> None:
    there = measured()
    worker = settling(there)
    worker.pass_once()
    assert corrections(there, worker, timedelta(days=4)) <= 14
    assert len(there.scenario.settlements.stored) == len(settlements(there))
    there.scenario.after(corrected_to("fac-001", 399.0, data_hash="last"), MEASURE)
    later(there, timedelta(days=1))
    worker.pass_once()
    assert in_force(there).facilities[0].steps[0].metered_kw == "399.000"
    assert settlements(there)[-1].why == "measured again: fac-001"
    head = max(entry.position for entry in there.scenario.store.read_after(0, 100_000))
    later(there, RIPE_AFTER)
    worker.pass_once()
    assert worker.positions.position(READER) == head


def test_a_change_that_waits_is_settled_once_by_the_next_process() -> None:
    there, positions = measured(), FakeReaderPositions()
    worker = settling(there, positions)
    worker.pass_once()
    corrections(there, worker, timedelta(hours=3))
    there.scenario.after(corrected_to("fac-001", 399.0, data_hash="last"), MEASURE)
    later(there, RIPE_AFTER)
    worker.pass_once()
    before = len(settlements(there))
    settling(there, positions).pass_once()
    assert len(settlements(there)) == before
    later(there, timedelta(hours=8))
    next_one = settling(there, positions)
    for _ in range(3):
        next_one.pass_once()
    assert len(settlements(there)) == before + 1
    assert in_force(there).facilities[0].steps[0].metered_kw == "399.000"


def test_a_change_shortly_before_the_deadline_is_settled_before_it() -> None:
    there = measured(replace(RULE, deadline=Deadline(final_after_days=2)))
    worker = settling(there)
    worker.pass_once()
    corrections(there, worker, timedelta(hours=40))
    final_at = settlements(there)[-1].figures.final_at
    there.scenario.after(corrected_to("fac-001", 399.0, data_hash="last"), MEASURE)
    while there.scenario.clock.now() < final_at - timedelta(minutes=5):
        later(there, timedelta(minutes=5))
        worker.pass_once()
    assert in_force(there).facilities[0].steps[0].metered_kw == "399.000"


def test_a_server_that_is_away_loses_no_change_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    there = measured()
    worker = settling(there)
    worker.pass_once()
    corrections(there, worker, timedelta(hours=3))
    there.scenario.after(corrected_to("fac-001", 399.0, data_hash="last"), MEASURE)
    later(there, RIPE_AFTER)
    worker.pass_once()
    later(there, timedelta(hours=8))
    with monkeypatch.context() as during:
        during.setattr(worker, "bus", StubBus({DR_EVENT_ID: EventStoreUnavailable("away")}))
        with pytest.raises(EventStoreUnavailable):
            worker.pass_once()
    worker.pass_once()
    assert in_force(there).facilities[0].steps[0].metered_kw == "399.000"


def test_a_clock_that_was_ahead_makes_no_pause() -> None:
    there = measured()
    settling(there).pass_once()
    revision = there.dr_event.settlement
    assert revision is not None
    pause = Pause.after(replace(revision, revision=20))
    assert pause.ends_at - pause.begins_at == timedelta(days=1)
    assert pause.lasts_at(pause.begins_at)
    assert not pause.lasts_at(pause.begins_at - timedelta(days=400))
    assert not pause.lasts_at(pause.ends_at)


class Killed(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("place", ["settle.before", "settle.after", "document", "position"])
def test_a_worker_that_is_killed_anywhere_settles_once(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there, positions = measured(), FakeReaderPositions()

    def reached(now: str, in_flight: str) -> None:
        if now == place:
            raise Killed(in_flight)

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    add = there.scenario.settlements.add
    with monkeypatch.context() as during:
        if place == "document":
            during.setattr(there.scenario.settlements, "add", lambda *a, **k: killed(add(*a, **k)))
        elif place == "position":
            during.setattr(positions, "move", killed)
        with pytest.raises(Killed):
            settling(there, positions, reached).pass_once()
    settling(there, positions).pass_once()
    assert len(settlements(there)) == len(there.scenario.settlements.stored) == 1
    assert in_force(there).total == "300.00"


def test_two_workers_settle_once() -> None:
    there = measured()
    for _ in range(2):
        settling(there).pass_once()
    assert len(settlements(there)) == 1


def test_a_missing_price_is_waited_for_without_an_alert() -> None:
    there = measured(replace(RULE, energy=Energy(price="event")))
    worker = settling(there)
    assert (worker.pass_once(), there.alerts.listed()) == (0, [])
    given = ModifyDREvent(
        utility_id=UTILITY,
        utility_event_id=UTILITY_EVENT,
        notice=notice(facility_ids=("fac-001", "fac-002"), target_kw=100.0, modification_number=1),
        prices=tuple(EventPrice(starts_at=STARTS_AT + HOUR * n, per_kwh="0.50") for n in range(2)),
    )
    there.scenario.after(given)
    assert worker.pass_once() == 1
    assert in_force(there).total == "100.00"


def test_a_change_after_the_deadline_is_passed_over() -> None:
    there = measured(replace(RULE, deadline=Deadline(final_after_days=1)))
    worker = settling(there)
    worker.pass_once()
    there.scenario.after(corrected_to("fac-002", 470.0), MEASURE)
    there.scenario.at(ENDS_AT + timedelta(days=2))
    assert (worker.pass_once(), there.alerts.listed()) == (0, [])
    assert len(settlements(there)) == 1


def test_a_clock_that_is_ahead_of_the_deadline_loses_no_change() -> None:
    there, is_wrong = measured(), [True]

    def confirm() -> None:
        if is_wrong:
            raise ClockSkewed("400 days ahead")

    worker = settling(there, confirm_clock=confirm)
    worker.pass_once()
    there.scenario.after(corrected_to("fac-002", 470.0), MEASURE)
    now = there.scenario.clock.now()
    there.scenario.at(now + timedelta(days=400))
    with pytest.raises(ClockSkewed):
        worker.pass_once()
    is_wrong.clear()
    there.scenario.at(now + RIPE_AFTER)
    assert worker.pass_once() == 1
    assert len(settlements(there)) == 2


def test_a_dr_event_that_cannot_be_settled_is_settled_after_a_new_rule_and_its_alert_clears() -> None:
    there = measured(replace(RULE, interval_s=1000))
    worker = settling(there)
    assert worker.pass_once() == 0
    [alert] = there.alerts.listed()
    assert (alert.name, alert.subject) == (ALERT, str(DR_EVENT_ID))
    assert "no multiple of the metering step" in alert.detail
    there.scenario.after(
        AgreeProgram(entry=program_entry(settlement=RULE)), replace(SETTLE, by_newest_rule=True)
    )
    worker.pass_once()
    assert there.alerts.listed() == []


class StubBus:
    """Fails for those DR events."""

    def __init__(self, errors: dict[UUID, Exception]) -> None:
        self.errors = errors
        self.handled: list[UUID] = []

    def handle(self, command: Any, context: Any) -> None:
        if (error := self.errors.get(command.dr_event_id)) is not None:
            raise error
        self.handled.append(command.dr_event_id)


def of_several(bus: StubBus, alerts: FakeAlertRegistry, seconds: Any) -> Settling:
    log = FakeEventLog()
    for number in range(3):
        dr_event = DREvent.open(provenance(), utility_id=UTILITY, utility_event_id=f"U-{number}")
        measured_event = DREvent.Measured(
            originator_id=dr_event.id,
            originator_version=2,
            timestamp=NOW,
            correlation_id=UUID(int=1),
            causation_id=UUID(int=2),
            actor="saga:dispatch",
            tenant=UTILITY,
            trace_id="0" * 32,
            delivered_kw=1.0,
            measured_facilities=1,
            unmeasured_facilities=(),
            unmeasured_reasons={},
        )
        log.append([measured_event])
    clock = FakeClock()
    worker: Any = Settling(
        event_log=log,
        positions=FakeReaderPositions(),
        store=FakeEventStore(),
        row_of=lambda key: None,
        bus=bus,  # type: ignore[arg-type]
        clock=clock,
        failing=FailingSubjects(alerts, clock, alert=ALERT, retry_s=RETRY_S, monotonic=seconds),
        confirm_clock=lambda: None,
    )
    assert isinstance(worker, Settling)
    return worker


def ids(worker: Settling) -> list[UUID]:
    return [entry.domain_event.originator_id for entry in worker.event_log.read_after(0, 10)]


def test_a_dr_event_that_fails_has_an_alert_and_delays_no_other() -> None:
    bus, alerts, now = StubBus({}), FakeAlertRegistry(), [0.0]
    worker = of_several(bus, alerts, lambda: now[0])
    first, second, third = ids(worker)
    bus.errors[second] = SettlementImpossible("its kind is unknown")
    assert worker.pass_once() == 2
    assert bus.handled == [first, third]
    assert [alert.subject for alert in alerts.listed()] == [str(second)]
    # a new process knows it by its alert, and tries it again after a while
    again = FailingSubjects(alerts, worker.clock, alert=ALERT, retry_s=RETRY_S, monotonic=lambda: now[0])
    assert again.to_try() == [str(second)]
    assert worker.failing.to_try() == []
    now[0] = RETRY_S
    assert worker.failing.to_try() == [str(second)]


def test_a_server_that_is_away_moves_nothing() -> None:
    bus, numbers = StubBus({}), count()
    worker = of_several(bus, FakeAlertRegistry(), lambda: float(next(numbers)))
    bus.errors[ids(worker)[1]] = EventStoreUnavailable("away")
    with pytest.raises(EventStoreUnavailable):
        worker.pass_once()
    assert worker.positions.position(READER) == 0
    bus.errors.clear()
    assert worker.pass_once() == 3
