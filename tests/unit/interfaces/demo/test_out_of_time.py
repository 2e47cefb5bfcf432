"""A DR event that is not completed in time is reported as a fault of the demo."""

from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest

from domain.dr_event import DREvent
from interfaces.demo.api import ApiClient, Response
from interfaces.demo.building_actions import BuildingActions
from interfaces.demo.checks import Evidence, faults
from interfaces.demo.facility_roles import assign_roles
from interfaces.demo.ledger import LedgerCheck, ProofCheck
from interfaces.demo.scenario import COMPLETED_WITHIN, LEAST_WALL_S, POLL_S, Scenario
from interfaces.demo.settlement import SettlementCheck
from tests.fakes.clock import FakeClock
from tests.given_when_then import given
from tests.sample_values import DR_EVENT_ID, ENDS_AT, facility_entry, judge, portfolio_commands


class Operator:
    """An API client that returns the given row; each call takes a minute."""

    def __init__(self, clock: FakeClock, **row: object) -> None:
        self.clock, self.row, self.calls = clock, row, 0

    def get(self, path: str) -> Response:
        self.calls += 1
        self.clock.advance(minutes=1)
        return Response(200, self.row)


def followed(operator: Operator) -> bool:
    client = cast("ApiClient", operator)
    return Scenario(client, client, operator.clock, lambda _: None).follow(str(DR_EVENT_ID), ENDS_AT)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interfaces.demo.scenario.POLL_S", POLL_S / 100)


def test_follow_stops_after_the_deadline() -> None:
    operator = Operator(FakeClock(ENDS_AT), status="recovering", settlement_status="none", callbacks={})
    assert not followed(operator)
    assert operator.calls == COMPLETED_WITHIN / timedelta(minutes=1)


def test_at_an_accelerated_clock_follow_stops_after_so_many_wall_seconds() -> None:
    clock = FakeClock(ENDS_AT, speed=100.0)
    operator = Operator(clock, status="recovering", settlement_status="none", callbacks={})
    assert not followed(operator)
    assert operator.calls == clock.speed * timedelta(seconds=LEAST_WALL_S) / timedelta(minutes=1)


@pytest.mark.parametrize(("status", "last"), [("settled", "settled"), ("not_settled", "measured")])
def test_follow_ends_once_the_event_is_completed_settled_and_reported(status: str, last: str) -> None:
    callbacks = {"c-1": {"kind": last, "state": "delivered"}}
    operator = Operator(FakeClock(ENDS_AT), status="completed", settlement_status=status, callbacks=callbacks)
    assert followed(operator)
    assert operator.calls == 1


def test_follow_waits_for_the_settlement_of_a_measured_dr_event() -> None:
    callbacks = {"c-1": {"kind": "measured", "state": "delivered"}}
    operator = Operator(
        FakeClock(ENDS_AT), status="completed", settlement_status="measured", callbacks=callbacks
    )
    assert not followed(operator)


@pytest.mark.parametrize(("in_time", "resettled"), [(True, None), (True, True), (True, False), (False, None)])
def test_only_a_demo_past_its_deadline_has_the_timeout_fault(in_time: bool, resettled: bool | None) -> None:
    log = given().after(*portfolio_commands(facility_entry("fac-001")))
    log.after(judge(facility_ids=("fac-001",), target_kw=80.0))
    nothing: frozenset[str] = frozenset()
    evidence = Evidence(
        roles=assign_roles([f"fac-{number:03d}" for number in range(1, 11)]),
        dr_event=log.store.load(DREvent, UUID(str(DR_EVENT_ID))),
        log=(),
        journal=[],
        callbacks=[],
        building_actions=BuildingActions(
            committed=nothing, restored=nothing, duplicates={}, curtailed_after_end=nothing, expired=nothing
        ),
        in_time=in_time,
        resettled=resettled,
        settlement=SettlementCheck(status="settled"),
        unequal_read_models=(),
        proof=ProofCheck(file=None, holds=True),
        ledger=LedgerCheck(verified=True, domain_events=0, checkpoints=0),
        killed={"dispatch.after_call": "commit fac-001/zone-1"},
    )
    assert any(fault.startswith("timed out: ") for fault in faults(evidence)) == (
        not in_time or resettled is False
    )
