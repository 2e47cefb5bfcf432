"""A demo whose DR event is not over in time says so by name."""

from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest

from domain.dr_event import DREvent
from interfaces.demo.api import Answer, ApiClient
from interfaces.demo.cast import cast_of
from interfaces.demo.ledger import LedgerVerdict
from interfaces.demo.story import POLL_S, SETTLE, Story
from interfaces.demo.verdict import Evidence, faults
from interfaces.demo.witness import Witnessed
from tests.fakes.clock import FakeClock
from tests.given import given
from tests.made_up import DR_EVENT_ID, ENDS_AT, facility_entry, judge, portfolio_commands


class Operator:
    """Sees the DR event as it is told to, and a minute goes by with every look."""

    def __init__(self, clock: FakeClock, **row: object) -> None:
        self.clock, self.row, self.looks = clock, row, 0

    def get(self, path: str) -> Answer:
        self.looks += 1
        self.clock.advance(minutes=1)
        return Answer(200, self.row)


def followed(operator: Operator) -> bool:
    client = cast("ApiClient", operator)
    return Story(client, client, operator.clock, lambda _: None).follow(str(DR_EVENT_ID), ENDS_AT)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interfaces.demo.story.POLL_S", POLL_S / 100)


def test_what_is_not_over_in_time_is_not_waited_for_any_longer() -> None:
    operator = Operator(FakeClock(ENDS_AT), status="recovering", settlement_status="none", callbacks={})
    assert not followed(operator)
    assert operator.looks == SETTLE / timedelta(minutes=1)


def test_what_is_completed_measured_and_told_is_over() -> None:
    told = {"c-1": {"kind": "measured", "state": "delivered"}}
    operator = Operator(FakeClock(ENDS_AT), status="completed", settlement_status="measured", callbacks=told)
    assert followed(operator)
    assert operator.looks == 1


@pytest.mark.parametrize("in_time", [True, False])
def test_only_a_demo_that_ran_out_of_time_is_told_to_have(in_time: bool) -> None:
    story = given().after(*portfolio_commands(facility_entry("fac-001")))
    story.after(judge(facility_ids=("fac-001",), target_kw=80.0))
    nothing: frozenset[str] = frozenset()
    evidence = Evidence(
        cast=cast_of([f"fac-{number:03d}" for number in range(1, 11)]),
        dr_event=story.store.load(DREvent, UUID(str(DR_EVENT_ID))),
        story=(),
        journal=[],
        callbacks=[],
        witnessed=Witnessed(
            committed=nothing, restored=nothing, duplicates={}, curtailed_after_end=nothing, let_go=nothing
        ),
        in_time=in_time,
        unequal_read_models=(),
        ledger=LedgerVerdict(verified=True, domain_events=0, checkpoints=0),
        killed={"dispatch.after_call": "commit fac-001/zone-1"},
    )
    assert any(fault.startswith("timed out: ") for fault in faults(evidence)) is not in_time
