"""A building whose check after the commit was lost is verified by the next poll."""

import asyncio

from application.ports.dispatch.work_queue import BmsWork
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID


def poll(there: InProcessSystem) -> None:
    work = BmsWork(
        task="reconcile",
        dr_event_id=DR_EVENT_ID,
        facility_id="fac-001",
        command_id=None,
        correlation_id=there.recorded()[0].correlation_id,
        causation_id=DR_EVENT_ID,
        tenant="util-1",
        trace_id="0" * 32,
    )
    asyncio.run(there.calls.do(work))


def with_lost_verification() -> InProcessSystem:
    there = InProcessSystem.accepted("fac-001")
    publish = there.queue.publish_bms

    async def lose_checks(work: BmsWork, *, message_id: str) -> None:
        if work.task != "verify":
            await publish(work, message_id=message_id)

    there.queue.publish_bms = lose_checks  # type: ignore[method-assign]
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
