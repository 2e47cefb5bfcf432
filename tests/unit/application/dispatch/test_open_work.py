"""The rule of open work: which intents of a save get a row, and what is read back from the log for it."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.event_store.open_work import (
    IntentNotRecorded,
    NewWork,
    open_work_of,
    recorded_work,
)
from application.ports.dispatch.requested_work import BmsWork, CallbackWork
from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent
from tests.fakes.event_store.event_log import FakeEventLog
from tests.sample_values import requested_callback
from tests.state_walks import DispatchWalk, dispatch_walk

ANOTHER = UUID(int=0xCB)


def walked(*steps: str, zones: tuple[str, ...] = ("hall", "attic")) -> DispatchWalk:
    walk = dispatch_walk(zones)
    for step in steps:
        walk.take(step)
    return walk


def requested(walk: DispatchWalk) -> list[UUID]:
    return [e.command.command_id for e in walk.recorded if isinstance(e, Dispatch.BmsCommandRequested)]


def caused_by(domain_events: list[DomainEvent], causation_id: UUID) -> list[DomainEvent]:
    return [msgspec.structs.replace(one, causation_id=causation_id) for one in domain_events]


def command_of(work: BmsWork | CallbackWork) -> tuple[UUID | None, tuple[UUID, ...]]:
    assert isinstance(work, BmsWork)
    return work.command_id, work.more


def test_the_commands_of_a_dispatch_in_one_save_are_one_row() -> None:
    walk = walked("prepare")

    assert len(requested(walk)) == 2
    assert open_work_of(walk.recorded) == [NewWork(1, "bms", "fac-001")]  # behind Planned


def test_a_save_without_intents_makes_no_row() -> None:
    assert open_work_of(walked().recorded) == open_work_of([]) == []


def test_the_work_of_a_row_has_every_command_of_its_decision() -> None:
    walk = walked("prepare")
    log = FakeEventLog()
    log.append(walk.recorded, gap=3)
    first, second = requested(walk)

    work = recorded_work(log, log.entries[1].position)

    assert command_of(work) == (first, (second,))
    assert isinstance(work, BmsWork)
    assert (work.task, work.facility_id) == ("command", "fac-001")
    assert work.causation_id == walk.recorded[1].domain_event_id


def test_a_decision_of_many_commands_is_read_whole() -> None:
    zones = tuple(f"zone-{number:02}" for number in range(20))
    walk = walked("prepare", zones=zones)
    log = FakeEventLog()
    log.append(walk.recorded)

    command_id, more = command_of(recorded_work(log, 2))
    assert [command_id, *more] == requested(walk)


def test_two_decisions_about_a_building_are_two_rows_and_each_has_its_own_commands() -> None:
    _, *prepared = walked("prepare").recorded
    again = caused_by(prepared, ANOTHER)
    rows = open_work_of([*prepared, *again])
    assert rows == [NewWork(0, "bms", "fac-001"), NewWork(2, "bms", "fac-001")]

    log = FakeEventLog()
    log.append([*prepared, *again])
    ids = requested(walked("prepare"))
    for row in rows:
        assert command_of(recorded_work(log, row.index + 1)) == (ids[0], (ids[1],))


def test_a_reissue_a_commit_and_each_callback_have_rows_of_their_own() -> None:
    walk = walked("prepare")
    of_dispatch: dict[str, Any] = {
        "originator_id": walk.recorded[0].originator_id,
        "originator_version": 9,
        "timestamp": walk.recorded[0].timestamp,
        "correlation_id": ANOTHER,
        "causation_id": ANOTHER,
        "actor": "saga:dispatch",
        "tenant": "util-1",
        "trace_id": "0" * 32,
        "dr_event_id": UUID(int=1),
        "facility_id": "fac-001",
    }
    reissued = Dispatch.BmsCommandReissued(**of_dispatch, command_id=UUID(int=5), issue=2, reason="unknown")
    committed = Dispatch.Committed(**of_dispatch)
    _, callback = requested_callback("util-9")
    saved = [walk.recorded[0], reissued, committed, callback, callback]

    assert open_work_of(saved) == [
        NewWork(1, "bms", "fac-001"),
        NewWork(2, "bms", "fac-001"),
        NewWork(3, "callback", "util-9"),
        NewWork(4, "callback", "util-9"),
    ]
    log = FakeEventLog()
    log.append(saved)
    again, verify = recorded_work(log, 2), recorded_work(log, 3)
    assert isinstance(again, BmsWork)
    assert isinstance(verify, BmsWork)
    assert (again.task, again.command_id, again.issue, again.more) == ("command", UUID(int=5), 2, ())
    assert (verify.task, verify.command_id) == ("verify", None)
    assert recorded_work(log, 4) == CallbackWork.of(callback)


@pytest.mark.parametrize("position", [1, 2, 99])
def test_a_position_without_an_intent_is_reported(position: int) -> None:
    log = FakeEventLog()
    log.append(walked().recorded, gap=1)  # Planned, at position 2

    with pytest.raises(IntentNotRecorded, match=str(position)):
        recorded_work(log, position)
