"""The reconciler queues polls of curtailed buildings; a poll detects drift, and a new round corrects it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from application.dispatch.execution.restored_buildings import NO_DR_EVENT
from application.ports.dispatch.work_queue import BmsWork
from domain.dispatch import Dispatch
from domain.identifiers import dispatch_id
from interfaces.workers.dispatch.reconcile import Reconciler
from projections.queries.views import ReadModelsUnavailable
from tests.bms_reader import BmsReader
from tests.fakes.clock import FakeClock
from tests.fakes.coordination.locks import FakeLocks, LockBoard
from tests.fakes.dispatch.work_queue import FakeWorkQueue
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

    @property
    def dispatch_id(self) -> UUID:
        return dispatch_id(self.dr_event_id, self.facility_id)


def reconciler(*facility_ids: str, clock: FakeClock, queue: FakeWorkQueue) -> Reconciler:
    rows = [CurtailedDispatch(facility_id=facility_id) for facility_id in facility_ids]
    return Reconciler(curtailed=lambda: rows, publisher=queue, clock=clock, locks=FakeLocks())


async def taken(queue: FakeWorkQueue, facility_id: str) -> list[BmsWork]:
    """The queued work of that facility, in order."""
    found = []
    reader = BmsReader(queue)
    while (item := await reader.next(facility_id, wait_s=0)) is not None:
        found.append(msgspec.json.decode(item.body, type=BmsWork))
        await item.done()
    return found


def test_each_curtailed_building_is_polled_once_a_minute() -> None:
    async def scenario() -> None:
        clock, queue = FakeClock(NOW), FakeWorkQueue()
        polling = reconciler("fac-001", "fac-002", clock=clock, queue=queue)
        for _ in range(3):
            assert await polling.round() == 2
        clock.moment = NOW + timedelta(seconds=60)
        await polling.round()
        for facility_id in ("fac-001", "fac-002"):
            works = await taken(queue, facility_id)
            assert [work.task for work in works] == ["reconcile", "reconcile"]
            assert [work.stale_after for work in works] == [
                NOW + timedelta(seconds=60),
                NOW + timedelta(seconds=120),
            ]

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
            return Reconciler(curtailed=curtailed, publisher=FakeWorkQueue(), clock=clock, locks=locks), locks

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

        clock, queue, stop = FakeClock(NOW), FakeWorkQueue(), asyncio.Event()
        polling = Reconciler(curtailed=curtailed, publisher=queue, clock=clock, locks=FakeLocks())
        running = asyncio.create_task(polling.run(stop))

        async def was_polled() -> bool:
            return bool(await taken(queue, "fac-001"))

        await eventually(was_polled)
        stop.set()
        await running

    asyncio.run(scenario())


def poll(world: InProcessSystem, *, stale: bool = False) -> None:
    """Carry out a poll as the reconciler publishes it."""
    now = world.scenario.clock.now()
    work = BmsWork(
        task="reconcile",
        dr_event_id=DR_EVENT_ID,
        facility_id="fac-001",
        command_id=None,
        stale_after=now if stale else now + timedelta(seconds=60),
        correlation_id=uuid4(),
        causation_id=uuid4(),
        tenant=None,
        trace_id="0" * 32,
    )
    asyncio.run(world.calls.do(work))


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


def test_an_outdated_poll_is_dropped(active: InProcessSystem) -> None:
    turn_up(active)
    poll(active, stale=True)
    assert active.recorded(Dispatch.DriftDetected) == []


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


def test_an_unexplained_building_is_polled_each_minute() -> None:
    async def scenario() -> None:
        clock, queue = FakeClock(NOW), FakeWorkQueue()
        polling = Reconciler(
            curtailed=list,
            publisher=queue,
            clock=clock,
            locks=FakeLocks(),
            unexplained=lambda: ["fac-001"],
        )
        assert [await polling.round() for _ in range(2)] == [1, 1]
        clock.moment = NOW + timedelta(seconds=60)
        await polling.round()
        asked = await taken(queue, "fac-001")
        assert [(work.task, work.dr_event_id) for work in asked] == [("reconcile", NO_DR_EVENT)] * 2
        assert asked[0].stale_after == NOW + timedelta(seconds=60)

    asyncio.run(scenario())
