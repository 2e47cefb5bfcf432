"""The reconciler adds checks of curtailed buildings; a check detects drift, and a new round corrects it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

import msgspec
import pytest

from application.dispatch.execution.taken_work import check_work
from domain.dispatch import Dispatch
from interfaces.workers.dispatch.reconcile import Reconciler
from projections.queries.views import ReadModelsUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks, LockBoard
from tests.fakes.dispatch.open_work import FakeOpenWork
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, NOW, STARTS_AT

PATIENCE_S = 20.0


class CurtailedDispatch(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a dispatch's row that the reconciler reads."""

    facility_id: str
    dr_event_id: UUID = DR_EVENT_ID
    tenant: str | None = None
    correlation_id: UUID = UUID(int=1)
    trace_id: str = "0" * 32


def reconciler(*facility_ids: str, rows: FakeOpenWork) -> Reconciler:
    curtailed = [CurtailedDispatch(facility_id=facility_id) for facility_id in facility_ids]
    return Reconciler(curtailed=lambda: curtailed, rows=rows, clock=FakeClock(NOW), locks=FakeLocks())


def checked(rows: FakeOpenWork) -> list[str]:
    """The buildings with a check."""
    return sorted(row.queue for row in rows.rows.values() if row.position is None)


def test_each_curtailed_building_has_one_check_until_it_is_done() -> None:
    async def scenario() -> None:
        rows = FakeOpenWork()
        polling = reconciler("fac-001", "fac-002", rows=rows)
        assert [await polling.round() for _ in range(3)] == [2, 0, 0]
        assert checked(rows) == ["fac-001", "fac-002"]
        taken = rows.take_bms(rows.new_holder(), commands=0, checks=1)
        assert await polling.round() == 0, "a check that is held is not done"
        rows.finish(taken)
        assert await polling.round() == 1
        assert checked(rows) == ["fac-001", "fac-002"]

    asyncio.run(scenario())


async def eventually(there: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await there():  # noqa: ASYNC110 - another task changes the condition
            await asyncio.sleep(0.005)


def test_one_of_two_reconcilers_works_and_the_other_takes_over_after_it() -> None:
    async def scenario() -> None:
        board = LockBoard()
        rounds: list[str] = []

        def made(name: str) -> tuple[Reconciler, FakeLocks]:
            def curtailed() -> list[CurtailedDispatch]:
                rounds.append(name)
                return []

            clock, locks = FakeClock(NOW), FakeLocks(board)
            clock.speed = 1e6
            return Reconciler(curtailed=curtailed, rows=FakeOpenWork(), clock=clock, locks=locks), locks

        (first, _), (second, _) = made("first"), made("second")
        stops = [asyncio.Event(), asyncio.Event()]
        tasks = [asyncio.create_task(first.run(stops[0]))]

        async def says(name: str) -> bool:
            return name in rounds

        await eventually(lambda: says("first"))
        tasks.append(asyncio.create_task(second.run(stops[1])))
        await asyncio.sleep(0.05)
        assert "second" not in rounds
        stops[0].set()
        await eventually(lambda: says("second"))
        stops[1].set()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_a_round_that_fails_for_an_unreachable_store_is_repeated() -> None:
    async def scenario() -> None:
        answers: list[object] = [ReadModelsUnavailable("away"), [CurtailedDispatch(facility_id="fac-001")]]

        def curtailed() -> list[CurtailedDispatch]:
            answer = answers.pop(0) if answers else []
            if isinstance(answer, Exception):
                raise answer
            return answer  # type: ignore[return-value]

        rows, stop = FakeOpenWork(), asyncio.Event()
        polling = Reconciler(curtailed=curtailed, rows=rows, clock=FakeClock(NOW), locks=FakeLocks())
        running = asyncio.create_task(polling.run(stop))

        async def was_polled() -> bool:
            return checked(rows) == ["fac-001"]

        await eventually(was_polled)
        stop.set()
        await running

    asyncio.run(scenario())


def poll(world: InProcessSystem) -> None:
    """Carry out a check as the reconciler adds it."""
    asyncio.run(world.calls.do(check_work("fac-001", 1)))


@pytest.fixture
def active() -> InProcessSystem:
    """One building, curtailed in a running DR event."""
    return InProcessSystem.accepted("fac-001").until("active")


def drift_alerts(world: InProcessSystem) -> list[str]:
    return [alert.subject for alert in world.alerts.listed() if alert.name == "bms_drift"]


def turn_up(world: InProcessSystem) -> None:
    world.buildings["fac-001"].override("hall", 21.0, world.scenario.clock.now())


def test_drift_is_recorded_alerted_and_corrected_by_a_new_round(active: InProcessSystem) -> None:
    first = active.dispatch().latest("commit")["hall"].command
    turn_up(active)
    poll(active)
    assert len(active.recorded(Dispatch.DriftDetected)) == 1
    assert drift_alerts(active) == ["fac-001"]

    active.settle()
    again = active.dispatch().latest("commit")["hall"]
    assert (again.command.round, again.state) == (first.round + 1, "succeeded")
    assert active.buildings["fac-001"].zone_state("hall", STARTS_AT).curtailed


def test_the_drift_alert_is_cleared_by_the_next_poll_after_the_correction(active: InProcessSystem) -> None:
    turn_up(active)
    poll(active)
    active.settle()
    poll(active)
    assert [alert for alert in active.alerts.listed() if alert.cleared_at is None] == []
    assert len(active.recorded(Dispatch.DriftDetected)) == 1


def test_a_building_in_the_commanded_state_gets_no_command(active: InProcessSystem) -> None:
    head, done = active.scenario.store.head(), len(active.journal)
    poll(active)
    assert (active.scenario.store.head(), len(active.journal)) == (head, done)
    assert drift_alerts(active) == []


def test_a_building_that_does_not_answer_is_polled_again_only_in_the_next_round(
    active: InProcessSystem,
) -> None:
    turn_up(active)
    active.control.fail_next("fac-001", "time_out")
    poll(active)
    assert active.recorded(Dispatch.DriftDetected) == []
    poll(active)
    assert len(active.recorded(Dispatch.DriftDetected)) == 1


def test_a_poll_after_the_window_has_no_effect(active: InProcessSystem) -> None:
    active.until("completed")
    head = active.scenario.store.head()
    poll(active)
    assert active.scenario.store.head() == head


def test_a_check_of_a_building_whose_dispatch_ended_has_no_effect(active: InProcessSystem) -> None:
    """The read model may be behind: the aggregate decides."""
    row = active.curtailed()[0]
    active.until("completed")
    active.calls = replace(active.calls, curtailed=lambda facility_id: [row])
    turn_up(active)
    head, asked = active.scenario.store.head(), len(active.journal)
    poll(active)
    assert (active.scenario.store.head(), len(active.journal)) == (head, asked)


def test_an_unexplained_building_is_checked() -> None:
    async def scenario() -> None:
        rows = FakeOpenWork()
        polling = replace(reconciler("fac-002", rows=rows), unexplained=lambda: ["fac-001"])
        assert [await polling.round() for _ in range(2)] == [2, 0]
        assert checked(rows) == ["fac-001", "fac-002"]

    asyncio.run(scenario())
