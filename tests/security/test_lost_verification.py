"""A building whose check after the commit was lost is verified by the next poll."""

import asyncio

from application.dispatch.execution.taken_work import check_work
from tests.in_process_system import InProcessSystem


def poll(there: InProcessSystem) -> None:
    asyncio.run(there.calls.do(check_work("fac-001", 1)))


def with_lost_verification() -> InProcessSystem:
    there = InProcessSystem.accepted("fac-001")
    there.loses = lambda work: work.task == "verify"
    there.until("active")
    assert there.dispatch().status == "committed"
    return there


def test_a_poll_verifies_a_building_that_was_not_verified() -> None:
    there = with_lost_verification()
    poll(there)
    assert there.dispatch().status == "verified_by_bms"
    head = there.scenario.store.head()
    poll(there)
    assert there.scenario.store.head() == head


def test_a_poll_that_finds_drift_corrects_it_first() -> None:
    there = with_lost_verification()
    there.buildings["fac-001"].override("hall", 21.0, there.scenario.clock.now())
    poll(there)
    assert there.dispatch().status == "committed"
    there.settle()
    poll(there)
    assert there.dispatch().status == "verified_by_bms"
