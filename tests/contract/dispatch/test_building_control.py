"""The contract of BuildingControl for every BMS. test_building_control_profiles.py has the tests by profile."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from application.ports.dispatch.building_control import BmsConnection, BmsRefused, BmsUnreachable, Setpoint
from tests.building_rig import CLOCK, NORMAL, PROFILES, RIGS, Rig, RunScenario, order, scenario_runner


@pytest.fixture(params=[(rig, profile) for rig in sorted(RIGS) for profile in PROFILES], ids=" ".join)
def run_scenario(request: pytest.FixtureRequest) -> RunScenario:
    return scenario_runner(*request.param)


def test_prepare_reports_the_present_setpoint_and_changes_no_load(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        command = order("prepare")
        receipt = await rig.control.execute(rig.connection, command)
        assert (receipt.command_id, receipt.zone_id, receipt.phase) == (command.command_id, "hall", "prepare")
        assert receipt.setpoint == Setpoint(value=22.0, unit="celsius")
        assert not receipt.repeated
        assert receipt.executed_at.tzinfo is not None
        assert rig.building.shed_kw(CLOCK.now()) == 0.0

    run_scenario(scenario)


def test_commit_curtails_and_restore_returns_to_the_given_setpoint(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        commit = order("commit")
        assert (await rig.control.execute(rig.connection, commit)).setpoint.value == 24.0
        state = await rig.control.zone_state(rig.connection, "hall")
        assert (state.curtailed, state.setpoint.value) == (True, 24.0)
        assert rig.building.shed_kw(CLOCK.now()) == pytest.approx(60.0)
        receipt = await rig.control.execute(
            rig.connection, order("restore", restore_to=Setpoint(value=21.5, unit="celsius"))
        )
        assert receipt.setpoint.value == 21.5
        state = await rig.control.zone_state(rig.connection, "hall")
        assert (state.curtailed, state.active_command_id, state.setpoint.value) == (False, None, 21.5)

    run_scenario(scenario)


def test_a_shed_level_zone_is_commanded_in_percent(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        level = {"zone_id": "lights", "strategy": "shed_level", "magnitude": 25.0}
        found = await rig.control.execute(rig.connection, order("prepare", **level))
        commit = order("commit", previous=found.setpoint, **level)
        receipt = await rig.control.execute(rig.connection, commit)
        assert receipt.setpoint == Setpoint(value=25.0, unit="percent")
        assert rig.building.shed_kw(CLOCK.now()) == pytest.approx(20.0)

    run_scenario(scenario)


def test_a_heated_zone_is_commanded_to_a_lower_setpoint(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        lower = {"zone_id": "foyer", "magnitude": -2.0}
        await rig.control.execute(rig.connection, order("prepare", **lower))
        receipt = await rig.control.execute(rig.connection, order("commit", **lower))
        assert receipt.setpoint == Setpoint(value=20.0, unit="celsius")
        state = await rig.control.zone_state(rig.connection, "foyer")
        assert (state.curtailed, state.setpoint.value) == (True, 20.0)
        assert rig.building.shed_kw(CLOCK.now()) == pytest.approx(20.0)
        restored = await rig.control.execute(rig.connection, order("restore", zone_id="foyer"))
        assert restored.setpoint == NORMAL
        for wrong in (2.0, -3.5):
            beyond = order("commit", zone_id="foyer", magnitude=wrong)
            with pytest.raises(BmsRefused) as refused:
                await rig.control.execute(rig.connection, beyond)
            assert refused.value.code == "magnitude_out_of_range"

    run_scenario(scenario)


def test_an_unknown_zone_has_no_state(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        with pytest.raises(BmsRefused) as refused:
            await rig.control.zone_state(rig.connection, "cellar")
        assert refused.value.code == "unknown_zone"

    run_scenario(scenario)


def test_preparing_again_still_reports_the_setpoint_before_the_curtailment(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        await rig.control.execute(rig.connection, order("commit"))
        again = await rig.control.execute(
            rig.connection, order("prepare", plan_revision=2, magnitude=3.0, previous=NORMAL)
        )
        assert again.setpoint.value == 22.0
        deeper = await rig.control.execute(rig.connection, order("commit", plan_revision=2, magnitude=3.0))
        assert deeper.setpoint.value == 25.0

    run_scenario(scenario)


def test_a_curtailed_zone_is_not_aborted(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        await rig.control.execute(rig.connection, order("commit"))
        with pytest.raises(BmsRefused) as refused:
            await rig.control.execute(rig.connection, order("abort"))
        assert refused.value.code == "curtailed"

    run_scenario(scenario)


def test_a_second_restore_has_no_further_effect(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        for round_ in (0, 1):
            receipt = await rig.control.execute(rig.connection, order("restore", round=round_))
            assert receipt.setpoint.value == 22.0

    run_scenario(scenario)


def test_a_restore_without_a_setpoint_is_the_callers_error(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        with pytest.raises(ValueError, match="restore_to"):
            await rig.control.execute(rig.connection, order("restore", restore_to=None))
        assert rig.journal == []

    run_scenario(scenario)


def test_a_bms_that_is_not_there_is_reported_as_unreachable(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        nowhere = BmsConnection(facility_id="fac-009", address="http://127.0.0.1:1/bms")
        with pytest.raises(BmsUnreachable):
            await rig.control.execute(nowhere, order("prepare", facility_id="fac-009"))

    run_scenario(scenario)


@pytest.mark.parametrize("phase", ["commit", "restore"])
def test_the_status_of_a_command_is_executed_only_after_its_execution(
    run_scenario: RunScenario, phase: str
) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        commit, restore = order("commit"), order("restore", restore_to=Setpoint(value=21.0, unit="celsius"))
        command = {"commit": commit, "restore": restore}[phase]
        if phase == "restore":
            await rig.control.execute(rig.connection, commit)
        before = await rig.control.command_status(rig.connection, command)
        assert (before.state, before.receipt) == ("unknown", None)
        receipt = await rig.control.execute(rig.connection, command)
        after = await rig.control.command_status(rig.connection, command)
        assert (after.state, after.receipt) == ("executed", receipt)

    run_scenario(scenario)


def test_a_repeated_commit_or_restore_has_no_further_effect(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        for command in (order("commit"), order("restore")):
            first = await rig.control.execute(rig.connection, command)
            done = len(rig.journal)
            again = await rig.control.execute(rig.connection, command)
            assert again == msgspec.structs.replace(first, repeated=again.repeated)
            assert len(rig.journal) == done

    run_scenario(scenario)


def test_a_refused_commit_changes_nothing(run_scenario: RunScenario) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        done = len(rig.journal)
        for changes in ({"magnitude": 3.5}, {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}):
            commit = order("commit", **changes)
            with pytest.raises(BmsRefused) as refused:
                await rig.control.execute(rig.connection, commit)
            assert refused.value.code in {"magnitude_out_of_range", "expired"}
            assert (await rig.control.command_status(rig.connection, commit)).state == "unknown"
        assert len(rig.journal) == done
        assert rig.building.shed_kw(CLOCK.now()) == 0.0

    run_scenario(scenario)


def test_a_commit_with_a_later_expiry_renews_it(run_scenario: RunScenario) -> None:
    """The window was extended. The building is informed before it would have restored itself."""

    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        await rig.control.execute(rig.connection, order("commit"))
        later = datetime.now(UTC) + timedelta(hours=5)
        await rig.control.execute(rig.connection, order("commit", plan_revision=2, expires_at=later))
        assert rig.building.shed_kw(later - timedelta(minutes=1)) == pytest.approx(60.0)
        assert rig.building.shed_kw(later + timedelta(hours=1)) == pytest.approx(0.0)
        assert [entry.action for entry in rig.journal if entry.action != "prepare"] == [
            "commit",
            "commit",
            "expired",
        ]

    run_scenario(scenario)


def test_an_overridden_zone_is_detected_and_can_be_committed_again(
    run_scenario: RunScenario,
) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        await rig.control.execute(rig.connection, order("commit"))
        rig.building.override("hall", 21.0, CLOCK.now())
        drifted = await rig.control.zone_state(rig.connection, "hall")
        assert (drifted.curtailed, drifted.setpoint.value) == (False, 21.0)
        await rig.control.execute(rig.connection, order("commit", round=2))
        assert (await rig.control.zone_state(rig.connection, "hall")).curtailed

    run_scenario(scenario)
