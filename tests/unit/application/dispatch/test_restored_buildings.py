"""Buildings after a restore of the database: nothing is done twice, and what the log does not explain is reported."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from application.dispatch.execution.restored_buildings import RestoredLog
from application.dispatch.execution.taken_work import check_work
from application.ports.dispatch.building_control import Phase, ZoneState
from tests.fakes.dispatch.building_control import FakeBuildingControl, PlannedFault
from tests.in_process_system import InProcessSystem
from tests.sample_values import NOW


def restored(lost: InProcessSystem, system: InProcessSystem, *, is_recorded: bool = True) -> InProcessSystem:
    """A system with another log and the buildings of `lost`."""
    system.control = FakeBuildingControl(lost.buildings.values(), clock=system.scenario.clock)
    log = RestoredLog(NOW) if is_recorded else RestoredLog()
    system.calls = replace(system.calls, control=system.control, restored=log)
    return system


def sent(system: InProcessSystem) -> list[Phase]:
    """The phases of the commands that reached a building again."""
    return [command.phase for command in system.control.sent]


@pytest.fixture
def lost() -> InProcessSystem:
    """Its buildings are curtailed, and its log is lost."""
    return InProcessSystem.accepted("fac-001").until("active")


def test_what_a_building_has_carried_out_already_is_not_sent_again(lost: InProcessSystem) -> None:
    again = restored(lost, InProcessSystem.accepted("fac-001")).until("active")
    assert again.dispatch().was_committed
    assert sent(again) == []


def test_without_a_restore_a_command_is_sent_without_a_question(lost: InProcessSystem) -> None:
    again = restored(lost, InProcessSystem.accepted("fac-001"), is_recorded=False).until("active")
    assert sent(again) == ["prepare", "commit"]


def test_a_restore_matters_to_dr_events_that_were_commanded_before_it(lost: InProcessSystem) -> None:
    dispatch = lost.dispatch()
    assert RestoredLog(dispatch.starts_at).may_have_lost(dispatch)
    assert not RestoredLog(dispatch.starts_at - timedelta(days=2)).may_have_lost(dispatch)
    assert not RestoredLog().may_have_lost(dispatch)


def inspect(system: InProcessSystem, facility_id: str = "fac-001") -> list[str]:
    """The details of open alerts after the building was asked."""
    asyncio.run(system.calls.do(check_work(facility_id, 1)))
    return [
        one.detail
        for one in system.alerts.listed()
        if one.cleared_at is None and (one.name, one.subject) == ("curtailed_without_record", facility_id)
    ]


def test_a_building_that_the_log_does_not_explain_is_reported(lost: InProcessSystem) -> None:
    (detail,) = inspect(restored(lost, InProcessSystem.registered("fac-001")))
    (state,) = zone_states(lost)
    assert f"hall by command {state.active_command_id}" in detail
    assert "the log knows nothing of it since a restore" in detail


def test_the_alert_ends_when_the_building_is_not_curtailed_any_more(lost: InProcessSystem) -> None:
    system = restored(lost, InProcessSystem.registered("fac-001"))
    assert inspect(system) != []
    lost.buildings["fac-001"].advance(lost.dispatch().ends_at + timedelta(hours=12))  # it restores itself
    assert inspect(system) == []


def zone_states(system: InProcessSystem) -> list[ZoneState]:
    building = system.buildings["fac-001"]
    return [building.zone_state("hall", system.scenario.clock.now())]


def test_a_building_that_does_not_answer_is_reported(lost: InProcessSystem) -> None:
    system = restored(lost, InProcessSystem.registered("fac-001"))
    faults: list[PlannedFault] = ["time_out"] * 10
    system.control.fail_next("fac-001", *faults)
    (detail,) = inspect(system)
    assert "whether it is curtailed is not known" in detail


def test_a_building_that_is_explained_or_not_curtailed_has_no_alert(
    lost: InProcessSystem,
) -> None:
    assert inspect(lost) == [], "its dispatch is reconciled by itself"
    assert inspect(InProcessSystem.registered("fac-001")) == []
    assert inspect(InProcessSystem.registered("fac-001"), "fac-unknown") == []


def test_without_a_restore_a_check_of_a_building_that_is_not_curtailed_asks_nothing(
    lost: InProcessSystem,
) -> None:
    """A dispatch may have ended since the check was added."""
    system = restored(lost, InProcessSystem.registered("fac-001"), is_recorded=False)
    assert inspect(system) == []
    system.calls = replace(system.calls, restored=RestoredLog(NOW))
    assert inspect(system) != []
    system.calls = replace(system.calls, restored=RestoredLog())
    assert inspect(system) != [], "while its alert is open it is asked"
