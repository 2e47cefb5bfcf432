"""A BMS without commands: the outcome after a time-out, a lost response, or a write without effect."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.bms.soap import SoapBuildingControl
from adapters.clock import SystemClock
from application.dispatch.time_limits import TIME_LIMITS
from application.ports.dispatch.building_control import (
    BmsAnswerInvalid,
    BmsConnection,
    BmsError,
    BmsRefused,
    BmsTimedOut,
    Setpoint,
)
from interfaces.simulators.bms.journal import duplicate_actions
from tests.fakes.dispatch.call_slots import FakeCallSlots
from tests.integration.bms.rig import ServedBuilding, http, order, raw_server, served_building
from tests.sample_values import THIS_MACHINE

NORMAL = Setpoint(value=22.0, unit="celsius")
COMMIT = {"previous": NORMAL}


def run_scenario(scenario: Callable[[ServedBuilding], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served_building("single_phase") as served:
            await scenario(served)

    asyncio.run(run())


def test_the_setpoint_after_a_lost_answer_shows_that_the_write_was_executed() -> None:
    async def scenario(served: ServedBuilding) -> None:
        served.fault("lost_answer_once", phase="commit")
        command = order("commit", **COMMIT)
        with pytest.raises(BmsTimedOut):
            await served.control.execute(served.connection, command)
        status = await served.control.command_status(served.connection, command)
        assert status.receipt is not None
        assert (status.state, status.receipt.setpoint.value) == ("executed", 24.0)

    run_scenario(scenario)


def test_a_repeated_write_after_a_lost_answer_has_no_further_effect() -> None:
    async def scenario(served: ServedBuilding) -> None:
        served.fault("lost_answer_once", phase="commit")
        command = order("commit", **COMMIT)
        with pytest.raises(BmsTimedOut):
            await served.control.execute(served.connection, command)
        await served.control.execute(served.connection, command)
        assert duplicate_actions(served.journal) == {}
        assert [entry.action for entry in served.journal] == ["commit"]

    run_scenario(scenario)


def test_a_write_that_never_arrived_is_unknown_and_can_be_repeated() -> None:
    async def scenario(served: ServedBuilding) -> None:
        served.fault("time_out", phase="commit", times=1)
        command = order("commit", **COMMIT)
        with pytest.raises(BmsTimedOut):
            await served.control.execute(served.connection, command)
        assert (await served.control.command_status(served.connection, command)).state == "unknown"
        assert (await served.control.execute(served.connection, command)).setpoint.value == 24.0

    run_scenario(scenario)


def test_a_read_back_that_fails_leaves_the_outcome_open() -> None:
    async def scenario(served: ServedBuilding) -> None:
        served.fault("time_out", phase="state", times=1)
        command = order("commit", **COMMIT)
        with pytest.raises(BmsTimedOut):
            await served.control.execute(served.connection, command)
        assert (await served.control.command_status(served.connection, command)).state == "executed"

    run_scenario(scenario)


def test_a_refused_write_is_a_definite_refusal() -> None:
    async def scenario(served: ServedBuilding) -> None:
        served.fault("refuse", phase="commit")
        with pytest.raises(BmsRefused) as refused:
            await served.control.execute(served.connection, order("commit", **COMMIT))
        assert (refused.value.code, served.journal) == ("local_override", [])

    run_scenario(scenario)


def test_a_commit_without_a_later_command_expires() -> None:
    async def scenario(served: ServedBuilding) -> None:
        command = order("commit", **COMMIT)
        await served.control.execute(served.connection, command)
        served.building.advance(command.expires_at)
        assert [entry.action for entry in served.journal] == ["commit", "expired"]
        assert served.building.read_setpoint("hall", command.expires_at).setpoint == NORMAL

    run_scenario(scenario)


def _envelope(content: str, before: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>{before}<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        f'xmlns:p="urn:gridproof:bms:setpoints:1"><s:Body>{content}</s:Body></s:Envelope>'
    ).encode()


def _reading(zone: str = "hall", value: str = "22.0", more: str = "") -> str:
    return (
        f"<p:ReadSetpointResponse><p:zoneId>{zone}</p:zoneId><p:setpoint><p:value>{value}</p:value>"
        f"<p:unit>celsius</p:unit></p:setpoint><p:changedAt>2026-07-14T21:00:00Z</p:changedAt>{more}"
        "</p:ReadSetpointResponse>"
    )


HOSTILE = {
    "of another zone": (_envelope(_reading(zone="attic")), "another zone"),
    "of another operation": (
        _envelope("<p:WriteSetpointResponse><p:zoneId>hall</p:zoneId></p:WriteSetpointResponse>"),
        "expected ReadSetpointResponse",
    ),
    "of the other contract": (
        _envelope(_reading()).replace(b"urn:gridproof:bms:setpoints:1", b"urn:gridproof:bms:1"),
        "expected ReadSetpointResponse",
    ),
    "no number": (_envelope(_reading(value="INF")), "INF"),
    "something more": (_envelope(_reading(more="<p:extra/>")), "extra"),
    "a document type": (_envelope(_reading(), "<!DOCTYPE x>"), "document type"),
    "an entity bomb": (
        _envelope("&b;", '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'),
        "document type",
    ),
}


def prepared_against(answers: Callable[[bytes], bytes], phase: str = "prepare") -> BmsError:
    """The error that a command raises against a BMS with these responses."""

    async def answer(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(http(answers(body)))

    async def scenario() -> BmsError:
        control = SoapBuildingControl(
            clock=SystemClock(), secret=lambda _: b"", networks=THIS_MACHINE, slots=FakeCallSlots()
        )
        control._dialects["single_phase"]._wall_seconds = lambda seconds: seconds / 1000  # type: ignore[attr-defined]
        async with raw_server(answer) as connection:
            single = BmsConnection(facility_id="fac-001", address=connection.address, profile="single_phase")
            with pytest.raises(BmsError) as raised:
                await control.execute(single, order(phase, **COMMIT))
        await control.aclose()
        return raised.value

    return asyncio.run(scenario())


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_a_setpoint_reading_outside_the_contract_is_invalid(case: str) -> None:
    payload, text = HOSTILE[case]
    raised = prepared_against(lambda _: payload)
    assert isinstance(raised, BmsAnswerInvalid)
    assert text in str(raised)


def test_a_write_not_confirmed_by_read_backs_is_not_a_success() -> None:
    asked: list[str] = []

    def answers(body: bytes) -> bytes:
        writes = b"WriteSetpoint" in body
        asked.append("write" if writes else "read")
        taken = "<p:WriteSetpointResponse><p:zoneId>hall</p:zoneId></p:WriteSetpointResponse>"
        return _envelope(taken if writes else _reading())

    raised = prepared_against(answers, "commit")
    assert isinstance(raised, BmsAnswerInvalid)
    assert "was written 24 and still reads 22" in str(raised)
    assert asked == ["write", *["read"] * TIME_LIMITS.read_backs]


def test_an_unknown_profile_is_refused_before_anything_is_sent() -> None:
    async def scenario() -> None:
        control = SoapBuildingControl(
            clock=SystemClock(), secret=lambda _: b"", networks=THIS_MACHINE, slots=FakeCallSlots()
        )
        unknown = BmsConnection(facility_id="fac-001", address="http://127.0.0.1:1/bms", profile="modbus")
        with pytest.raises(BmsRefused) as refused:
            await control.zone_state(unknown, "hall")
        assert refused.value.code == "unknown_profile"
        await control.aclose()

    asyncio.run(scenario())
