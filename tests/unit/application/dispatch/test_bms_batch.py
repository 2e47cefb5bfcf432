"""The commands of one save to one building: one row, one record of attempts, an outcome for each."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from application.commands.dr_event import StartDREvent
from application.ports.dispatch.requested_work import BmsWork
from interfaces.simulators.bms.journal import duplicate_actions
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, STARTS_AT, zone_entry

ZONES = ("hall", "lobby", "roof")


class WorkerKilled(BaseException):
    """Simulates a SIGKILL: nothing of the worker runs afterwards."""


@pytest.fixture
def world() -> InProcessSystem:
    """A prepared building with three zones. Its commits are requested, and no worker has taken the work."""
    zones = tuple(zone_entry(zone_id, 40.0) for zone_id in ZONES)
    world = InProcessSystem.accepted("fac-001", target_kw=90.0, zones=zones).until("preparing")
    world.scenario.at(STARTS_AT).after(StartDREvent(dr_event_id=DR_EVENT_ID))
    world.relay_all()
    return world


def taken(world: InProcessSystem) -> list[BmsWork]:
    """All work that waits for the building."""
    return world.take()


def committed(world: InProcessSystem) -> list[str]:
    return [entry.zone_id for entry in world.journal if entry.action == "commit"]


def attempts(world: InProcessSystem) -> dict[str, int]:
    latest = world.dispatch().latest("commit")
    return {zone_id: record.attempts for zone_id, record in latest.items()}


def test_the_commands_of_one_save_are_one_row(world: InProcessSystem) -> None:
    [work] = taken(world)
    latest = world.dispatch().latest("commit")
    assert [work.command_id, *work.more] == [latest[zone].command.command_id for zone in ZONES]


def test_all_attempts_are_recorded_before_the_first_call_and_each_zone_is_called_once(
    world: InProcessSystem,
) -> None:
    [work] = taken(world)
    at_first_call: list[dict[str, int]] = []

    def reached(name: str, _: str) -> None:
        if name == "dispatch.before_call" and not at_first_call:
            at_first_call.append(attempts(world))

    asyncio.run(replace(world.calls, reached=reached).do(work))
    assert at_first_call == [dict.fromkeys(ZONES, 1)]
    assert committed(world) == list(ZONES)
    assert attempts(world) == dict.fromkeys(ZONES, 1)
    assert world.dispatch().status == "committed"


def test_a_refusal_of_one_zone_does_not_affect_the_outcomes_of_others(world: InProcessSystem) -> None:
    [work] = taken(world)
    world.control.fail_next("fac-001", "refuse")
    asyncio.run(world.calls.do(work))
    states = {zone: record.state for zone, record in world.dispatch().latest("commit").items()}
    assert states == {"hall": "refused", "lobby": "succeeded", "roof": "succeeded"}


@pytest.mark.parametrize("point", ["dispatch.before_call", "dispatch.after_call", "dispatch.after_record"])
@pytest.mark.parametrize("strike", range(1, 4))
def test_each_zone_is_curtailed_once_if_the_worker_is_killed_between_zones(
    world: InProcessSystem, point: str, strike: int
) -> None:
    """A successor queries the status of every recorded attempt, made or not."""
    [work] = taken(world)
    seen: list[str] = []

    def reached(name: str, _: str) -> None:
        if name == point:
            seen.append(name)
            if len(seen) == strike:
                raise WorkerKilled(name)

    with pytest.raises(WorkerKilled):
        asyncio.run(replace(world.calls, reached=reached).do(work))
    asyncio.run(world.calls.do(work))
    assert sorted(committed(world)) == sorted(ZONES)
    assert duplicate_actions(world.journal) == {}
    assert world.dispatch().status == "committed"


def test_only_the_command_of_the_failed_zone_is_parked(world: InProcessSystem) -> None:
    [work] = taken(world)
    world.control.fail_next("fac-001", "unreachable", "unreachable", "unreachable", "unreachable")
    asyncio.run(world.calls.do(work))
    [letter] = world.dead_letters.listed(queue="bms_command")
    parked = msgspec.json.decode(letter.body, type=BmsWork)
    assert (parked.command_id, parked.more) == (work.command_id, ())
    assert committed(world) == ["lobby", "roof"]
