"""The contract of BuildingControl by profile: BMSs with commands (two phases), and BMSs with setpoints only."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.ports.dispatch.building_control import BmsRefused
from tests.building_rig import NORMAL, RIGS, Rig, RunScenario, order, scenario_runner


@pytest.fixture(params=sorted(RIGS))
def run_two_phase(request: pytest.FixtureRequest) -> RunScenario:
    return scenario_runner(request.param, "two_phase")


@pytest.fixture(params=sorted(RIGS))
def run_single_phase(request: pytest.FixtureRequest) -> RunScenario:
    return scenario_runner(request.param, "single_phase")


def test_abort_releases_a_prepared_zone(run_two_phase: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        await rig.control.execute(rig.connection, order("abort"))
        assert (await rig.control.zone_state(rig.connection, "hall")).active_command_id is None
        with pytest.raises(BmsRefused) as refused:
            await rig.control.execute(rig.connection, order("commit"))
        assert refused.value.code == "not_prepared"

    run_two_phase(scenario)


def test_a_repeated_command_is_answered_with_the_first_answer(run_two_phase: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        command = order("prepare")
        first = await rig.control.execute(rig.connection, command)
        again = await rig.control.execute(rig.connection, command)
        assert again == msgspec.structs.replace(first, repeated=True)
        assert len(rig.journal) == 1

    run_two_phase(scenario)


def test_a_bms_without_deduplication_executes_a_repeated_command_again(run_two_phase: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        command = order("prepare")
        for _ in range(2):
            assert not (await rig.control.execute(rig.connection, command)).repeated
        assert len(rig.journal) == 2
        assert (await rig.control.command_status(rig.connection, command)).state == "executed"

    run_two_phase(scenario, "two_phase_no_dedup")


def test_a_command_id_may_not_be_used_for_another_command(run_two_phase: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        command = order("prepare")
        await rig.control.execute(rig.connection, command)
        with pytest.raises(BmsRefused) as refused:
            await rig.control.execute(rig.connection, order("commit", command_id=command.command_id))
        assert refused.value.code == "command_id_reused"

    run_two_phase(scenario)


def test_the_status_of_a_command_is_its_receipt_or_unknown(run_two_phase: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        command = order("prepare")
        before = await rig.control.command_status(rig.connection, command)
        assert (before.state, before.receipt) == ("unknown", None)
        receipt = await rig.control.execute(rig.connection, command)
        after = await rig.control.command_status(rig.connection, command)
        assert (after.state, after.receipt) == ("executed", receipt)

    run_two_phase(scenario)


def test_a_refused_command_is_not_stored(run_two_phase: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        commit = order("commit")
        with pytest.raises(BmsRefused):
            await rig.control.execute(rig.connection, commit)
        assert (await rig.control.command_status(rig.connection, commit)).state == "unknown"
        await rig.control.execute(rig.connection, order("prepare"))
        assert not (await rig.control.execute(rig.connection, commit)).repeated

    run_two_phase(scenario)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"zone_id": "cellar"}, "unknown_zone"),
        ({"magnitude": 3.5}, "magnitude_out_of_range"),
        ({"magnitude": 0.0}, "magnitude_out_of_range"),
        ({"strategy": "shed_level"}, "wrong_strategy"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expired"),
        ({"dr_event_id": UUID(int=7)}, "zone_held"),
        ({"facility_id": "fac-002"}, "wrong_building"),
    ],
)
def test_a_command_that_the_building_cannot_execute_is_refused(
    run_two_phase: RunScenario, changes: dict[str, Any], code: str
) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        done = len(rig.journal)
        with pytest.raises(BmsRefused) as refused:
            await rig.control.execute(rig.connection, order("commit", **changes))
        assert refused.value.code == code
        assert refused.value.reason
        assert len(rig.journal) == done

    run_two_phase(scenario)


def test_a_single_phase_prepare_and_abort_send_no_command(run_single_phase: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        for phase in ("prepare", "abort"):
            command = order(phase)
            assert (await rig.control.execute(rig.connection, command)).setpoint == NORMAL
            assert (await rig.control.command_status(rig.connection, command)).state == "unknown"
        assert rig.journal == []

    run_single_phase(scenario)


def test_a_single_phase_commit_without_its_previous_setpoint_is_the_callers_error(
    run_single_phase: RunScenario,
) -> None:
    async def scenario(rig: Rig) -> None:
        with pytest.raises(ValueError, match="previous"):
            await rig.control.execute(rig.connection, order("commit", previous=None))
        assert rig.journal == []

    run_single_phase(scenario)
