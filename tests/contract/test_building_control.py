"""What every BuildingControl does, shown on the fake and on SOAP against a served building, in both profiles.

`told` is for what holds in either; `told_two_phase` for what only a BMS that knows commands can do.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from adapters.bms.single_phase import SinglePhase
from adapters.bms.soap import SoapBuildingControl
from adapters.clock import SystemClock
from application.portfolio import BmsProfile, ZoneEntry
from application.ports.building_control import (
    BmsConnection,
    BmsRefused,
    BmsUnreachable,
    BuildingControl,
    Setpoint,
    ZoneCommand,
)
from interfaces.simulation.bms_network import BmsNetwork, SimulatedBms
from interfaces.simulation.building_control import SimulatedBuildingControl, SimulatedSetpoints
from interfaces.simulation.mishaps import Mishaps
from interfaces.simulation.story import Story as StoryOfAStorm
from interfaces.simulators.bms_server import BmsServer, create_bms_app
from interfaces.simulators.building import Building
from interfaces.simulators.http_host import hosted
from interfaces.simulators.journal import JournalEntry
from tests.fakes.building_control import FakeBuildingControl

CLOCK = SystemClock()
ZONES = (
    ZoneEntry(zone_id="hall", curtailable_kw=90.0, max_magnitude=3.0),
    ZoneEntry(zone_id="lights", curtailable_kw=40.0, strategy="shed_level", max_magnitude=50.0),
)
DR_EVENT = uuid4()
NORMAL = Setpoint(value=22.0, unit="celsius")


@dataclass
class Rig:
    """One building behind the BuildingControl under test."""

    control: BuildingControl
    connection: BmsConnection
    building: Building
    journal: list[JournalEntry]


def order(phase: str, **changes: Any) -> ZoneCommand:
    values: dict[str, Any] = {
        "command_id": uuid4(),
        "dr_event_id": DR_EVENT,
        "facility_id": "fac-001",
        "zone_id": "hall",
        "phase": phase,
        "plan_revision": 1,
        "round": 0,
        "strategy": "setpoint_offset",
        "magnitude": 2.0 if phase in ("prepare", "commit") else 0.0,
        "restore_to": NORMAL if phase == "restore" else None,
        "previous": NORMAL if phase in ("commit", "restore") else None,
        "expires_at": datetime.now(UTC) + timedelta(hours=2),
    }
    return ZoneCommand(**(values | changes))


@contextlib.asynccontextmanager
async def fake_rig(profile: BmsProfile) -> AsyncIterator[Rig]:
    journal: list[JournalEntry] = []
    building = Building("fac-001", ZONES, record=journal.append, profile=profile)
    control = FakeBuildingControl([building], clock=CLOCK)
    connection = BmsConnection(facility_id="fac-001", address="fake://fac-001", profile=profile)
    yield Rig(control, connection, building, journal)
    await control.aclose()


@contextlib.asynccontextmanager
async def soap_rig(profile: BmsProfile) -> AsyncIterator[Rig]:
    journal: list[JournalEntry] = []
    building = Building("fac-001", ZONES, record=journal.append, profile=profile)
    server = BmsServer({"fac-001": building}, clock=CLOCK, passwords={"fac-001": b"sesame"})
    control = SoapBuildingControl(clock=CLOCK, secret={"env:BMS": b"sesame"}.__getitem__)
    async with hosted(create_bms_app(server), "127.0.0.1:0") as url:
        connection = BmsConnection(
            facility_id="fac-001",
            address=f"{url}/buildings/fac-001/bms",
            profile=profile,
            credentials_ref="env:BMS",
        )
        yield Rig(control, connection, building, journal)
        await control.aclose()


@contextlib.asynccontextmanager
async def simulated_rig(profile: BmsProfile) -> AsyncIterator[Rig]:
    """What fault storms put in the place of SOAP, where nothing strikes."""
    journal: list[JournalEntry] = []
    building = Building("fac-001", ZONES, record=journal.append, profile=profile)
    network = BmsNetwork(
        {"fac-001": SimulatedBms(building, slow_s=0.0)},
        CLOCK,
        Mishaps(Random(0), {}, StoryOfAStorm(CLOCK.now)),
        Random(0),
    )
    control = SimulatedBuildingControl(network, SinglePhase(SimulatedSetpoints(network), CLOCK))
    connection = BmsConnection(facility_id="fac-001", address="sim://fac-001", profile=profile)
    yield Rig(control, connection, building, journal)
    await control.aclose()


RIGS = {"fake": fake_rig, "simulated": simulated_rig, "soap": soap_rig}
PROFILES: tuple[BmsProfile, ...] = ("two_phase", "single_phase")
Story = Callable[[Rig], Awaitable[None]]
Told = Callable[..., None]


def teller(rig_name: str, default: BmsProfile) -> Told:
    """Runs a story on the implementation at hand."""

    def tell(story: Story, profile: BmsProfile = default) -> None:
        async def run() -> None:
            async with RIGS[rig_name](profile) as rig:
                await story(rig)

        asyncio.run(run())

    return tell


@pytest.fixture(params=[(rig, profile) for rig in sorted(RIGS) for profile in PROFILES], ids=" ".join)
def told(request: pytest.FixtureRequest) -> Told:
    return teller(*request.param)


@pytest.fixture(params=sorted(RIGS))
def told_two_phase(request: pytest.FixtureRequest) -> Told:
    return teller(request.param, "two_phase")


@pytest.fixture(params=sorted(RIGS))
def told_single_phase(request: pytest.FixtureRequest) -> Told:
    return teller(request.param, "single_phase")


def test_prepare_reports_the_present_setpoint_and_changes_no_load(told: Told) -> None:
    async def story(rig: Rig) -> None:
        command = order("prepare")
        receipt = await rig.control.execute(rig.connection, command)
        assert (receipt.command_id, receipt.zone_id, receipt.phase) == (command.command_id, "hall", "prepare")
        assert receipt.setpoint == Setpoint(value=22.0, unit="celsius")
        assert not receipt.repeated
        assert receipt.executed_at.tzinfo is not None
        assert rig.building.shed_kw(CLOCK.now()) == 0.0

    told(story)


def test_commit_curtails_and_restore_returns_to_the_given_setpoint(told: Told) -> None:
    async def story(rig: Rig) -> None:
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

    told(story)


def test_a_shed_level_zone_is_commanded_in_percent(told: Told) -> None:
    async def story(rig: Rig) -> None:
        level = {"zone_id": "lights", "strategy": "shed_level", "magnitude": 25.0}
        found = await rig.control.execute(rig.connection, order("prepare", **level))
        commit = order("commit", previous=found.setpoint, **level)
        receipt = await rig.control.execute(rig.connection, commit)
        assert receipt.setpoint == Setpoint(value=25.0, unit="percent")
        assert rig.building.shed_kw(CLOCK.now()) == pytest.approx(20.0)

    told(story)


def test_abort_lets_a_prepared_zone_go(told_two_phase: Told) -> None:
    async def story(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        await rig.control.execute(rig.connection, order("abort"))
        assert (await rig.control.zone_state(rig.connection, "hall")).active_command_id is None
        with pytest.raises(BmsRefused) as refused:
            await rig.control.execute(rig.connection, order("commit"))
        assert refused.value.code == "not_prepared"

    told_two_phase(story)


def test_a_repeated_command_is_answered_with_the_first_answer(told_two_phase: Told) -> None:
    async def story(rig: Rig) -> None:
        command = order("prepare")
        first = await rig.control.execute(rig.connection, command)
        again = await rig.control.execute(rig.connection, command)
        assert again == msgspec.structs.replace(first, repeated=True)
        assert len(rig.journal) == 1

    told_two_phase(story)


def test_a_bms_without_deduplication_carries_a_repeat_out_again(told_two_phase: Told) -> None:
    async def story(rig: Rig) -> None:
        command = order("prepare")
        for _ in range(2):
            assert not (await rig.control.execute(rig.connection, command)).repeated
        assert len(rig.journal) == 2
        assert (await rig.control.command_status(rig.connection, command)).state == "executed"

    told_two_phase(story, "two_phase_no_dedup")


def test_a_command_id_may_not_be_used_for_another_command(told_two_phase: Told) -> None:
    async def story(rig: Rig) -> None:
        command = order("prepare")
        await rig.control.execute(rig.connection, command)
        with pytest.raises(BmsRefused) as refused:
            await rig.control.execute(rig.connection, order("commit", command_id=command.command_id))
        assert refused.value.code == "command_id_reused"

    told_two_phase(story)


def test_the_status_of_a_command_is_its_receipt_or_unknown(told_two_phase: Told) -> None:
    async def story(rig: Rig) -> None:
        command = order("prepare")
        before = await rig.control.command_status(rig.connection, command)
        assert (before.state, before.receipt) == ("unknown", None)
        receipt = await rig.control.execute(rig.connection, command)
        after = await rig.control.command_status(rig.connection, command)
        assert (after.state, after.receipt) == ("executed", receipt)

    told_two_phase(story)


def test_a_refused_command_is_not_remembered(told_two_phase: Told) -> None:
    async def story(rig: Rig) -> None:
        commit = order("commit")
        with pytest.raises(BmsRefused):
            await rig.control.execute(rig.connection, commit)
        assert (await rig.control.command_status(rig.connection, commit)).state == "unknown"
        await rig.control.execute(rig.connection, order("prepare"))
        assert not (await rig.control.execute(rig.connection, commit)).repeated

    told_two_phase(story)


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
def test_a_command_that_the_building_cannot_take_is_refused(
    told_two_phase: Told, changes: dict[str, Any], code: str
) -> None:
    async def story(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        done = len(rig.journal)
        with pytest.raises(BmsRefused) as refused:
            await rig.control.execute(rig.connection, order("commit", **changes))
        assert refused.value.code == code
        assert refused.value.reason
        assert len(rig.journal) == done

    told_two_phase(story)


def test_an_unknown_zone_has_no_state(told: Told) -> None:
    async def story(rig: Rig) -> None:
        with pytest.raises(BmsRefused) as refused:
            await rig.control.zone_state(rig.connection, "cellar")
        assert refused.value.code == "unknown_zone"

    told(story)


def test_preparing_again_still_reports_the_setpoint_before_the_curtailment(told: Told) -> None:
    async def story(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        await rig.control.execute(rig.connection, order("commit"))
        again = await rig.control.execute(
            rig.connection, order("prepare", plan_revision=2, magnitude=3.0, previous=NORMAL)
        )
        assert again.setpoint.value == 22.0
        deeper = await rig.control.execute(rig.connection, order("commit", plan_revision=2, magnitude=3.0))
        assert deeper.setpoint.value == 25.0

    told(story)


def test_a_curtailed_zone_is_not_aborted(told: Told) -> None:
    async def story(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        await rig.control.execute(rig.connection, order("commit"))
        with pytest.raises(BmsRefused) as refused:
            await rig.control.execute(rig.connection, order("abort"))
        assert refused.value.code == "curtailed"

    told(story)


def test_restoring_twice_does_no_harm(told: Told) -> None:
    async def story(rig: Rig) -> None:
        for round_ in (0, 1):
            receipt = await rig.control.execute(rig.connection, order("restore", round=round_))
            assert receipt.setpoint.value == 22.0

    told(story)


def test_a_restore_without_a_setpoint_is_the_callers_error(told: Told) -> None:
    async def story(rig: Rig) -> None:
        with pytest.raises(ValueError, match="restore_to"):
            await rig.control.execute(rig.connection, order("restore", restore_to=None))
        assert rig.journal == []

    told(story)


def test_where_no_bms_answers_nothing_was_done(told: Told) -> None:
    async def story(rig: Rig) -> None:
        nowhere = BmsConnection(facility_id="fac-009", address="http://127.0.0.1:1/bms")
        with pytest.raises(BmsUnreachable):
            await rig.control.execute(nowhere, order("prepare", facility_id="fac-009"))

    told(story)


@pytest.mark.parametrize("phase", ["commit", "restore"])
def test_the_status_says_that_a_command_was_carried_out_only_after_it_was(told: Told, phase: str) -> None:
    async def story(rig: Rig) -> None:
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

    told(story)


def test_a_repeated_commit_or_restore_does_nothing_again(told: Told) -> None:
    async def story(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        for command in (order("commit"), order("restore")):
            first = await rig.control.execute(rig.connection, command)
            done = len(rig.journal)
            again = await rig.control.execute(rig.connection, command)
            assert again == msgspec.structs.replace(first, repeated=again.repeated)
            assert len(rig.journal) == done

    told(story)


def test_a_refused_commit_has_done_nothing(told: Told) -> None:
    async def story(rig: Rig) -> None:
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

    told(story)


def test_a_commit_with_a_later_expiry_renews_it(told: Told) -> None:
    """The window was extended: the building hears it before it would have restored itself."""

    async def story(rig: Rig) -> None:
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

    told(story)


def test_a_zone_that_somebody_turned_up_again_is_seen_and_can_be_committed_anew(told: Told) -> None:
    async def story(rig: Rig) -> None:
        await rig.control.execute(rig.connection, order("prepare"))
        await rig.control.execute(rig.connection, order("commit"))
        rig.building.override("hall", 21.0, CLOCK.now())
        drifted = await rig.control.zone_state(rig.connection, "hall")
        assert (drifted.curtailed, drifted.setpoint.value) == (False, 21.0)
        await rig.control.execute(rig.connection, order("commit", round=2))
        assert (await rig.control.zone_state(rig.connection, "hall")).curtailed

    told(story)


def test_a_single_phase_prepare_and_abort_send_no_command(told_single_phase: Told) -> None:
    async def story(rig: Rig) -> None:
        for phase in ("prepare", "abort"):
            command = order(phase)
            assert (await rig.control.execute(rig.connection, command)).setpoint == NORMAL
            assert (await rig.control.command_status(rig.connection, command)).state == "unknown"
        assert rig.journal == []

    told_single_phase(story)


def test_a_single_phase_commit_without_its_previous_setpoint_is_the_callers_error(
    told_single_phase: Told,
) -> None:
    async def story(rig: Rig) -> None:
        with pytest.raises(ValueError, match="previous"):
            await rig.control.execute(rig.connection, order("commit", previous=None))
        assert rig.journal == []

    told_single_phase(story)
