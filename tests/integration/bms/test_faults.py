"""What the adapter reports when a served building misbehaves, and what the building has executed."""

import asyncio

import aiohttp
import pytest
from msgspec.structs import replace

from adapters.bms.soap import SoapBuildingControl, SoapLimits
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsRefused,
    BmsTimedOut,
    BmsUnreachable,
)
from interfaces.settings.secrets import SecretNotFound
from interfaces.simulators.bms.journal import duplicate_actions
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.integration.bms.rig import ANSWERS_WITHIN_S, order, served_building
from tests.sample_values import THIS_MACHINE


def test_a_call_to_a_bms_without_a_response_times_out_and_executes_nothing() -> None:
    async def scenario() -> None:
        async with served_building() as served:
            served.fault("time_out", times=1)
            command = order()
            with pytest.raises(BmsTimedOut):
                await served.control.execute(served.connection, command)
            status = await served.control.command_status(served.connection, command)
            assert status.state == "unknown"
            assert served.journal == []

    asyncio.run(scenario())


def test_an_injected_refusal_is_reported_as_a_definite_refusal() -> None:
    async def scenario() -> None:
        async with served_building() as served:
            served.fault("refuse")
            with pytest.raises(BmsRefused) as refused:
                await served.control.execute(served.connection, order())
            assert refused.value.code == "local_override"
            assert served.journal == []

    asyncio.run(scenario())


def test_a_slow_answer_within_the_limit_is_accepted() -> None:
    async def scenario() -> None:
        async with served_building() as served:
            served.fault("slow", delay_s=10.0)
            receipt = await served.control.execute(served.connection, order())
            assert not receipt.repeated

    asyncio.run(scenario())


def test_a_call_with_a_late_answer_times_out_although_the_command_was_executed() -> None:
    async def scenario() -> None:
        async with served_building() as served:
            served.fault("slow", delay_s=300.0, phase="prepare")
            command = order()
            with pytest.raises(BmsTimedOut):
                await served.control.execute(served.connection, command)
            status = await served.control.command_status(served.connection, command)
            assert status.state == "executed"

    asyncio.run(scenario())


@pytest.mark.parametrize("profile", ["two_phase", "two_phase_no_dedup"])
def test_the_status_after_a_lost_answer_reports_the_executed_command(profile: str) -> None:
    async def scenario() -> None:
        async with served_building(profile) as served:  # type: ignore[arg-type]
            served.fault("lost_answer_once", phase="prepare")
            command = order()
            with pytest.raises(BmsTimedOut):
                await served.control.execute(served.connection, command)
            status = await served.control.command_status(served.connection, command)
            assert status.state == "executed"
            assert status.receipt is not None
            assert status.receipt.setpoint.value == 22.0

    asyncio.run(scenario())


def test_a_repeat_after_a_lost_answer_is_executed_twice_only_without_deduplication() -> None:
    async def duplicates(profile: str) -> int:
        async with served_building(profile) as served:  # type: ignore[arg-type]
            served.fault("lost_answer_once")
            command = order()
            with pytest.raises(BmsTimedOut):
                await served.control.execute(served.connection, command)
            await served.control.execute(served.connection, command)
            return len(duplicate_actions(served.journal))

    assert asyncio.run(duplicates("two_phase")) == 0
    assert asyncio.run(duplicates("two_phase_no_dedup")) == 1


def test_an_answer_outside_the_contract_is_not_a_success() -> None:
    async def scenario() -> None:
        async with served_building() as served:
            served.fault("invalid_answer", times=1)
            command = order()
            with pytest.raises(BmsAnswerInvalid):
                await served.control.execute(served.connection, command)
            assert (await served.control.execute(served.connection, command)).repeated

    asyncio.run(scenario())


def test_wrong_credentials_are_reported_as_a_refusal() -> None:
    async def scenario() -> None:
        async with served_building() as served:
            served.server._passwords = {"fac-001": b"other"}
            with pytest.raises(BmsRefused) as refused:
                await served.control.execute(served.connection, order())
            assert refused.value.code == "unauthorized"

    asyncio.run(scenario())


def test_a_bms_with_unavailable_credentials_is_not_called_and_the_worker_continues() -> None:
    def gone(_: str) -> bytes:
        raise SecretNotFound("the secret env:HALL is not in the environment; set HALL")

    async def scenario() -> None:
        async with served_building() as served:
            control = SoapBuildingControl(
                clock=served.clock, secret=gone, networks=THIS_MACHINE, slots=FakeCallSlots()
            )
            with pytest.raises(BmsUnreachable, match=r"credentials are unavailable: .*env:HALL"):
                await control.execute(replace(served.connection, credentials_ref="env:HALL"), order())
            await control.aclose()
            assert served.journal == []

    asyncio.run(scenario())


def test_the_breaker_opens_after_five_time_outs_and_closes_after_its_window() -> None:
    async def scenario() -> None:
        changes: list[tuple[str, str]] = []
        limits = SoapLimits(total_floor_s=ANSWERS_WITHIN_S, total_s=5.0, breaker_open_s=60.0)
        async with served_building(
            limits=limits, breaker_listener=lambda facility, state: changes.append((facility, state))
        ) as served:
            served.fault("time_out")
            for _ in range(5):
                with pytest.raises(BmsTimedOut):
                    await served.control.execute(served.connection, order())
            served.server.faults.replace("fac-001", ())
            with pytest.raises(BmsUnreachable, match="breaker open"):
                await served.control.execute(served.connection, order())
            assert served.journal == []
            await asyncio.sleep(served.clock.wall_seconds(65.0))
            await served.control.execute(served.connection, order())
            assert changes == [("fac-001", "opened"), ("fac-001", "half-opened"), ("fac-001", "closed")]

    asyncio.run(scenario())


def test_an_answer_between_time_outs_keeps_the_breaker_closed() -> None:
    async def scenario() -> None:
        limits = SoapLimits(total_floor_s=ANSWERS_WITHIN_S, total_s=5.0)
        async with served_building(limits=limits) as served:
            for _ in range(3):
                served.fault("time_out", times=2)
                for _ in range(2):
                    with pytest.raises(BmsTimedOut):
                        await served.control.zone_state(served.connection, "hall")
                with pytest.raises(BmsRefused):
                    await served.control.zone_state(served.connection, "cellar")
            assert (await served.control.zone_state(served.connection, "hall")).curtailed is False

    asyncio.run(scenario())


def test_many_calls_to_a_silent_bms_do_not_delay_another_bms() -> None:
    async def scenario() -> None:
        limits = SoapLimits(total_floor_s=ANSWERS_WITHIN_S, breaker_threshold=100)
        async with served_building(limits=limits, slots=FakeCallSlots(2)) as served:
            served.fault("time_out")
            silent = [
                asyncio.create_task(served.control.execute(served.connection, order())) for _ in range(6)
            ]
            await asyncio.sleep(0.05)
            elsewhere = served.connection.__class__(
                facility_id="fac-002", address=served.connection.address.replace("fac-001", "fac-002")
            )
            # There is no such building here; the test checks that the call is sent while fac-001 blocks six calls.
            with pytest.raises(BmsAnswerInvalid, match="404"):
                await served.control.zone_state(elsewhere, "hall")
            assert not all(task.done() for task in silent)
            for task in silent:
                task.cancel()
            await asyncio.wait(silent)

    asyncio.run(scenario())


def test_a_bms_gets_one_call_at_a_time() -> None:
    async def scenario() -> None:
        async with served_building() as served:
            at_once, most = 0, 0
            original = served.server.answer

            async def counted(building: object, payload: bytes) -> object:
                nonlocal at_once, most
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(0.01)
                at_once -= 1
                return await original(building, payload)  # type: ignore[arg-type]

            served.server.answer = counted  # type: ignore[method-assign, assignment]
            await asyncio.gather(*(served.control.zone_state(served.connection, "hall") for _ in range(8)))
            assert most == 1

    asyncio.run(scenario())


def test_faults_and_overrides_are_set_over_http() -> None:
    async def scenario() -> None:
        async with served_building() as served, aiohttp.ClientSession(served.url) as admin:
            refusal = [{"facility_id": "fac-001", "kind": "refuse"}]
            assert (await admin.put("/buildings/fac-001/faults", json=refusal)).status == 204
            with pytest.raises(BmsRefused):
                await served.control.execute(served.connection, order())
            assert (await admin.put("/buildings/fac-001/faults", json=[])).status == 204
            await served.control.execute(served.connection, order())
            await served.control.execute(served.connection, order("commit"))
            assert (
                await admin.put("/buildings/fac-001/zones/hall/setpoint", json={"setpoint": 20.0})
            ).status == 204
            state = await served.control.zone_state(served.connection, "hall")
            assert (state.curtailed, state.setpoint.value) == (False, 20.0)
            bad = [{"facility_id": "fac-001", "kind": "explode"}]
            assert (await admin.put("/buildings/fac-001/faults", json=bad)).status == 400
            assert (await admin.put("/buildings/fac-009/faults", json=[])).status == 404

    asyncio.run(scenario())
