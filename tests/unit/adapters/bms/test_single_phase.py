"""Edge cases of a BMS without commands; detected by fault storms."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from adapters.bms.single_phase import ReadSetpoint, SinglePhase
from application.ports.dispatch.building_control import (
    BmsConnection,
    BmsError,
    BmsRefused,
    BmsTimedOut,
    BmsUnreachable,
    Setpoint,
    ZoneCommand,
)
from tests.fakes.clock import FakeClock

CONNECTION = BmsConnection(facility_id="fac-001", address="http://127.0.0.1:1/bms", profile="single_phase")
COMMIT = ZoneCommand(
    command_id=UUID(int=1),
    dr_event_id=UUID(int=2),
    facility_id="fac-001",
    zone_id="hall",
    phase="commit",
    plan_revision=1,
    round=1,
    strategy="setpoint_offset",
    magnitude=2.0,
    previous=Setpoint(value=22.0, unit="celsius"),
    expires_at=datetime(2026, 7, 14, 23, 30, tzinfo=UTC),
)


class Curtailed:
    """A BMS whose zone is under a timed override."""

    async def read(self, connection: BmsConnection, zone_id: str, *, urgent: bool = True) -> ReadSetpoint:
        return ReadSetpoint(
            setpoint=Setpoint(value=25.0, unit="celsius"),
            changed_at=datetime(2026, 7, 14, 20, 0, tzinfo=UTC),
            until=datetime(2026, 7, 14, 21, 30, tzinfo=UTC),
        )

    async def write(self, *_: object, **__: object) -> None:
        raise AssertionError("a prepare writes nothing")


class TakesWritesOnly:
    """A BMS that fails after a write, or before it, or raises `then` instead."""

    def __init__(self, *, takes_writes: bool, then: BmsError | None = None) -> None:
        self._takes_writes = takes_writes
        self._then = then or BmsUnreachable("connection refused")

    async def read(self, connection: BmsConnection, zone_id: str, *, urgent: bool = True) -> ReadSetpoint:
        raise self._then

    async def write(
        self,
        connection: BmsConnection,
        zone_id: str,
        setpoint: Setpoint,
        *,
        until: datetime | None,
        reference: str,
    ) -> None:
        if not self._takes_writes:
            raise BmsUnreachable("connection refused")


def test_a_write_that_cannot_be_read_back_has_an_unknown_outcome() -> None:
    control = SinglePhase(TakesWritesOnly(takes_writes=True), FakeClock())
    with pytest.raises(BmsTimedOut, match="not read back"):
        asyncio.run(control.execute(CONNECTION, COMMIT))


def test_a_write_whose_read_back_is_refused_has_an_unknown_outcome() -> None:
    refused = BmsRefused("unauthorized", "HTTP 401: check the facility's BMS credentials")
    control = SinglePhase(TakesWritesOnly(takes_writes=True, then=refused), FakeClock())
    with pytest.raises(BmsTimedOut, match=r"not read back: HTTP 401"):
        asyncio.run(control.execute(CONNECTION, COMMIT))


def test_a_write_that_was_not_sent_is_reported_as_unreachable() -> None:
    control = SinglePhase(TakesWritesOnly(takes_writes=False), FakeClock())
    with pytest.raises(BmsUnreachable):
        asyncio.run(control.execute(CONNECTION, COMMIT))


def test_a_zone_under_a_curtailment_cannot_be_prepared() -> None:
    prepare = replace(COMMIT, phase="prepare", previous=None)
    with pytest.raises(BmsRefused) as refused:
        asyncio.run(SinglePhase(Curtailed(), FakeClock()).execute(CONNECTION, prepare))
    assert refused.value.code == "zone_held"


def test_a_zone_curtailed_for_the_same_dr_event_is_prepared_with_its_first_setpoint() -> None:
    prepare = replace(COMMIT, phase="prepare")
    receipt = asyncio.run(SinglePhase(Curtailed(), FakeClock()).execute(CONNECTION, prepare))
    assert receipt.setpoint == COMMIT.previous
