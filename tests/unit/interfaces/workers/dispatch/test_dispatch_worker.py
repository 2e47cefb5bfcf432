"""The dispatch worker: commands of a building run one after the other, whoever runs them; buildings in parallel."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest

from application.command_bus.bus import TooManyConflicts
from application.command_bus.retry import MAX_TRIES
from application.dispatch.time_limits import TIME_LIMITS
from application.event_store.event_mapper import UnknownTopic
from application.ports.dispatch.open_work import OpenWork, OpenWorkUnavailable
from application.ports.dispatch.requested_work import BmsWork
from application.ports.event_store.event_log import LogEntry, LogEntryUnreadable
from application.ports.failpoints import no_failpoint
from domain.dispatch import Dispatch
from domain.errors import NotAllowedNow
from domain.event_sourcing.aggregate import DomainEvent
from interfaces.workers.dispatch import dispatch as worker_module
from interfaces.workers.dispatch.dispatch import CHECKS_IN_HAND, COMMANDS_IN_HAND, DispatchWorker
from interfaces.workers.loops import open_work as loop_module
from tests.fakes.coordination.locks import FakeLocks, LockBoard
from tests.fakes.dispatch.open_work import FakeOpenWork, FakeWorkHolder
from tests.fakes.event_store.event_log import FakeEventLog
from tests.in_process_system import InProcessSystem

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "TIME_LIMITS", replace(TIME_LIMITS, retry_wall_s=0.01))
    monkeypatch.setattr(worker_module, "PARK_AGAIN_S", 0.01)
    monkeypatch.setattr(loop_module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(loop_module, "RETRY_S", 0.01)
    monkeypatch.setattr(loop_module, "FREE_EVERY_S", 0.02)


@cache
def template() -> Dispatch.Committed:
    """A recorded intent."""
    world = InProcessSystem.accepted("fac-001").until("active")
    [committed] = world.recorded(Dispatch.Committed)
    return cast("Dispatch.Committed", committed)


class NoSignal:
    async def wait(self, heartbeat_s: float) -> None:
        await asyncio.sleep(heartbeat_s)


class System:
    """The log and the rows of open work; its workers live and die."""

    def __init__(self) -> None:
        self.rows = FakeOpenWork()
        self.log = FakeEventLog()
        self.board = LockBoard()

    def command(self, facility_id: str, number: int) -> None:
        values = msgspec.structs.asdict(template()) | {"facility_id": facility_id}
        known = Dispatch.BmsCommandReissued.__struct_fields__
        command = {"command_id": UUID(int=number), "issue": 2, "reason": "a test"}
        shared = {name: value for name, value in values.items() if name in known}
        self.add(Dispatch.BmsCommandReissued(**shared | command), facility_id)

    def verify(self, facility_id: str) -> None:
        self.add(msgspec.structs.replace(template(), facility_id=facility_id), facility_id)

    def add(self, domain_event: DomainEvent, queue: str) -> None:
        self.log.append([domain_event])
        self.rows.add([("bms", queue, self.log.head())])

    def worker(self, calls: "Calls", **changes: Any) -> DispatchWorker:
        worker = DispatchWorker(
            rows=self.rows,
            holder=FakeWorkHolder(self.rows),
            signal=NoSignal(),
            event_log=self.log,
            calls=cast("Any", calls),
            locks=FakeLocks(self.board),
        )
        return replace(worker, **changes)

    def waiting(self, facility_id: str) -> int:
        return sum(row.queue == facility_id for row in self.rows.rows.values())


class Calls:
    """Stands for DispatchExecutor: counts calls, and may be slow or fail."""

    reached = staticmethod(no_failpoint)

    def __init__(self, *, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.begun: list[str] = []
        self.done: list[tuple[str, str, int]] = []
        self.parked: list[str] = []
        self.inside: Counter[str] = Counter()
        self.most_at_once = 0
        self.held_up: set[str] = set()
        """The facilities whose calls do not end."""
        self.failures: dict[str, list[Exception]] = {}
        """Facility -> the errors of its next tries."""
        self.park_failures: list[Exception] = []

    async def do(self, work: BmsWork) -> None:
        if self.failures.get(work.facility_id):
            raise self.failures[work.facility_id].pop(0)
        self.begun.append(work.facility_id)
        self.inside[work.facility_id] += 1
        self.most_at_once = max(self.most_at_once, self.inside[work.facility_id])
        try:
            await asyncio.sleep(self.takes_s)
            while work.facility_id in self.held_up:  # noqa: ASYNC110 - the test ends it
                await asyncio.sleep(0.002)
        finally:
            self.inside[work.facility_id] -= 1
        self.done.append((work.task, work.facility_id, work.command_id.int if work.command_id else 0))

    async def park(self, work: BmsWork, reason: str) -> None:
        if self.park_failures:
            raise self.park_failures.pop(0)
        self.parked.append(f"{work.facility_id}: {reason}")

    async def park_row(self, row: OpenWork, reason: str) -> None:
        self.parked.append(f"{row.queue}: {reason}")


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not there():  # noqa: ASYNC110 - another task changes the condition
            await asyncio.sleep(0.002)


async def run_until(there: Callable[[], bool], *workers: DispatchWorker) -> None:
    """Run the workers until `there`, and stop them."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as running:
        for worker in workers:
            running.create_task(worker.run(stop))
        await until(there)
        stop.set()


def test_commands_and_verifications_of_a_facility_run_in_order() -> None:
    system, calls = System(), Calls()
    system.command("fac-1", 1)
    system.verify("fac-1")
    system.command("fac-2", 3)
    system.command("fac-1", 4)
    asyncio.run(run_until(lambda: not system.rows.rows, system.worker(calls)))
    assert [done for done in calls.done if done[1] == "fac-1"] == [
        ("command", "fac-1", 1),
        ("verify", "fac-1", 0),
        ("command", "fac-1", 4),
    ]
    assert ("command", "fac-2", 3) in calls.done


def test_two_workers_never_call_one_bms_at_the_same_time() -> None:
    """Also if a row is free again while its work still goes on."""
    system, calls = System(), Calls(takes_s=0.02)
    for number in range(1, 5):
        system.command("fac-1", number)

    async def scenario() -> None:
        freeing = asyncio.create_task(free_again_and_again(system))
        await run_until(lambda: not system.rows.rows, system.worker(calls), system.worker(calls))
        freeing.cancel()

    asyncio.run(scenario())
    assert calls.most_at_once == 1
    assert {number for *_, number in calls.done} == {1, 2, 3, 4}


async def free_again_and_again(system: System) -> None:
    while True:
        await asyncio.sleep(0.005)
        for holder in list(system.rows.living):
            system.rows.free(holder)


def test_a_slow_building_delays_no_other() -> None:
    system, calls = System(), Calls()
    calls.held_up.add("fac-1")
    for number in range(1, 4):
        system.command("fac-1", number)
        system.command("fac-2", number)

    async def scenario() -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as running:
            running.create_task(system.worker(calls).run(stop))
            await until(lambda: system.waiting("fac-2") == 0)
            assert calls.begun.count("fac-1") == 1
            calls.held_up.clear()
            await until(lambda: system.waiting("fac-1") == 0)
            stop.set()

    asyncio.run(scenario())
    assert [number for _, facility_id, number in calls.done if facility_id == "fac-1"] == [1, 2, 3]


def test_checks_take_no_place_of_a_command() -> None:
    """However many buildings do not answer their checks, and the other way round."""
    system, calls = System(), Calls()
    silent = [f"silent-{number}" for number in range(CHECKS_IN_HAND + 10)]
    calls.held_up.update(silent)
    system.rows.add_checks(silent)

    async def scenario() -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as running:
            running.create_task(system.worker(calls).run(stop))
            await until(lambda: len(calls.begun) == CHECKS_IN_HAND)
            for number in range(100):
                system.command(f"fac-{number}", 1)
            await until(lambda: len(calls.done) == 100)
            assert len(calls.begun) == CHECKS_IN_HAND + 100
            stop.set()

    asyncio.run(scenario())


def test_at_most_so_many_rows_are_held() -> None:
    taken: list[tuple[int, int]] = []

    class Counted(FakeOpenWork):
        def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
            taken.append((commands, checks))
            return []

    worker = replace(System().worker(Calls()), rows=Counted())

    def row(number: int, *, is_check: bool) -> OpenWork:
        position = None if is_check else number
        return OpenWork(number=number, kind="bms", queue="f", position=position, tries=1, holder=1)

    in_hand: Collection[OpenWork] = [
        *(row(number, is_check=False) for number in range(COMMANDS_IN_HAND - 3)),
        *(row(number, is_check=True) for number in range(CHECKS_IN_HAND)),
    ]
    worker._take(1, in_hand)
    assert taken == [(3, 0)]


@pytest.mark.parametrize(
    "error",
    [
        UnknownTopic("a newer release wrote it"),
        NotAllowedNow("the command is already succeeded"),
        TooManyConflicts("AttemptBmsCommands lost 12 races"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_work_with_a_temporary_error_is_put_off_and_not_parked(error: Exception) -> None:
    """For example, workers of two releases run, or another worker recorded an outcome late."""
    system, calls = System(), Calls()
    calls.failures["fac-1"] = [error] * (MAX_TRIES + 2)
    system.command("fac-1", 1)
    asyncio.run(run_until(lambda: not system.rows.rows, system.worker(calls)))
    assert (calls.done, calls.parked) == ([("command", "fac-1", 1)], [])


def test_an_intent_that_only_a_newer_release_can_read_waits_for_it() -> None:
    class Newer(FakeEventLog):
        is_readable = False

        def read_after(self, position: int, limit: int) -> list[LogEntry]:
            if not self.is_readable:
                raise LogEntryUnreadable(position + 1, "dispatch.of-tomorrow.v1", "unknown")
            return super().read_after(position, limit)

    system, calls = System(), Calls()
    system.command("fac-1", 1)
    log = Newer(system.log.entries)

    async def scenario() -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as running:
            running.create_task(system.worker(calls, event_log=log).run(stop))
            await until(lambda: next(iter(system.rows.rows.values())).tries > MAX_TRIES)
            assert (calls.begun, calls.parked) == ([], [])
            log.is_readable = True
            await until(lambda: not system.rows.rows)
            stop.set()

    asyncio.run(scenario())
    assert calls.done == [("command", "fac-1", 1)]


def test_work_that_fails_is_tried_again_and_then_parked_while_others_go_on() -> None:
    system, calls = System(), Calls()
    calls.failures["fac-1"] = [RuntimeError("a bug")] * MAX_TRIES
    calls.failures["fac-2"] = [RuntimeError("a bug")] * (MAX_TRIES - 1)
    for facility_id in ("fac-1", "fac-2", "fac-3"):
        system.command(facility_id, 1)
    asyncio.run(run_until(lambda: not system.rows.rows, system.worker(calls)))
    assert calls.parked == ["fac-1: RuntimeError: a bug"]
    assert sorted(calls.begun) == ["fac-2", "fac-3"]


def test_work_that_can_never_be_carried_out_is_parked_at_once() -> None:
    system, calls = System(), Calls()
    calls.failures["fac-1"] = [ValueError("no such command")]
    system.command("fac-1", 1)
    asyncio.run(run_until(lambda: not system.rows.rows, system.worker(calls)))
    assert calls.parked == ["fac-1: ValueError: no such command"]


def test_parked_work_whose_outcome_cannot_be_recorded_stays_open() -> None:
    """Its dispatch would never go on without an outcome."""
    system, calls = System(), Calls()
    calls.failures["fac-1"] = [ValueError("no such command")] * 3
    calls.park_failures = [TypeError("a defect"), OpenWorkUnavailable("away")]
    system.command("fac-1", 1)
    asyncio.run(run_until(lambda: not system.rows.rows, system.worker(calls)))
    assert calls.parked == ["fac-1: ValueError: no such command"]


@pytest.mark.parametrize("queue", ["fac-2", "fac-1"])
def test_a_row_that_names_no_intent_of_its_building_is_parked(queue: str) -> None:
    system, calls = System(), Calls()
    system.command("fac-1", 1)
    system.rows.rows.clear()
    system.rows.add([("bms", queue, 1 if queue == "fac-2" else 99)])
    asyncio.run(run_until(lambda: not system.rows.rows, system.worker(calls)))
    assert (len(calls.parked), calls.begun) == (1, [])


def test_a_worker_waits_while_postgresql_is_away_and_then_continues() -> None:
    class Away(FakeOpenWork):
        is_away = True

        def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
            if self.is_away:
                raise OpenWorkUnavailable("away")
            return super().take_bms(holder, commands=commands, checks=checks)

    system, calls = System(), Calls()
    rows = system.rows = Away()
    system.command("fac-1", 1)

    async def scenario() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(system.worker(calls).run(stop))
        await asyncio.sleep(0.05)
        assert not running.done()
        rows.is_away = False
        await until(lambda: len(calls.done) == 1)
        stop.set()
        await running

    asyncio.run(scenario())


def test_rows_of_a_take_whose_answer_was_lost_are_free_again() -> None:
    class Silent(FakeOpenWork):
        answers = 0

        def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
            taken = super().take_bms(holder, commands=commands, checks=checks)
            self.answers += 1
            if taken and self.answers <= 3:
                raise OpenWorkUnavailable("the answer was lost")
            return taken

    system, calls = System(), Calls()
    system.rows = Silent()
    system.command("fac-1", 1)
    asyncio.run(run_until(lambda: not system.rows.rows, system.worker(calls)))
    assert calls.done == [("command", "fac-1", 1)]


def test_a_worker_goes_on_with_its_rows_when_the_answer_of_a_later_take_is_lost() -> None:
    class Silent(FakeOpenWork):
        freed: tuple[str, ...] | None = None

        def take_bms(self, holder: int, *, commands: int, checks: int) -> list[OpenWork]:
            taken = super().take_bms(holder, commands=commands, checks=checks)
            if self.freed is None and [row.queue for row in taken] == ["fac-2"]:
                raise OpenWorkUnavailable("the answer was lost")
            return taken

        def free(self, holder: int, *, keeping: Collection[int] = ()) -> int:
            held = [row for row in self.rows.values() if row.holder == holder]
            count = super().free(holder, keeping=keeping)
            self.freed = self.freed or tuple(row.queue for row in held if row.holder is None)
            return count

    system, calls = System(), Calls()
    system.rows = rows = Silent()
    calls.held_up.add("fac-1")
    system.command("fac-1", 1)

    async def scenario() -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as running:
            running.create_task(system.worker(calls).run(stop))
            await until(lambda: calls.begun == ["fac-1"])
            system.command("fac-2", 2)
            await until(lambda: system.waiting("fac-2") == 0)
            assert rows.freed == ("fac-2",)
            stop.set()

    asyncio.run(scenario())


def test_the_rows_of_a_worker_that_died_are_taken_by_another() -> None:
    system, calls = System(), Calls()
    system.command("fac-1", 1)
    dead = FakeWorkHolder(system.rows)
    assert system.rows.take_bms(asyncio.run(dead.number()), commands=9, checks=9)
    dead.lose()
    asyncio.run(run_until(lambda: not system.rows.rows, system.worker(calls)))
    assert calls.done == [("command", "fac-1", 1)]


def test_a_worker_whose_session_was_lost_abandons_what_it_has_in_hand() -> None:
    """Its rows are free for others; one building's call does not go on beside theirs."""
    system, first, second = System(), Calls(), Calls()
    first.held_up.add("fac-1")
    system.command("fac-1", 1)
    holder = FakeWorkHolder(system.rows)

    async def scenario() -> None:
        stop, stop_first = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as running:
            running.create_task(system.worker(first, holder=holder).run(stop_first))
            await until(lambda: first.inside["fac-1"] == 1)
            holder.lose()
            await until(lambda: first.inside["fac-1"] == 0 or len(first.begun) > 1)
            stop_first.set()
            running.create_task(system.worker(second).run(stop))
            await until(lambda: len(second.done) == 1)
            stop.set()

    asyncio.run(scenario())
    assert (first.done, second.done) == ([], [("command", "fac-1", 1)])
    assert not system.rows.rows


def test_a_worker_that_is_stopped_gives_its_rows_back_at_once() -> None:
    system, calls = System(), Calls()
    calls.held_up.add("fac-1")
    system.command("fac-1", 1)
    asyncio.run(run_until(lambda: calls.inside["fac-1"] == 1, system.worker(calls)))
    assert (calls.inside["fac-1"], calls.done) == (0, [])
    [row] = system.rows.rows.values()
    assert (row.holder, row.tries) == (None, 1)


def test_two_workers_share_the_buildings() -> None:
    system, first, second = System(), Calls(takes_s=0.05), Calls(takes_s=0.05)
    facilities = [f"fac-{number}" for number in range(200)]
    for facility_id in facilities:
        system.command(facility_id, 1)
    asyncio.run(run_until(lambda: not system.rows.rows, system.worker(first), system.worker(second)))
    done = [facility_id for _, facility_id, _ in first.done + second.done]
    assert sorted(done) == sorted(facilities)
    assert min(len(first.done), len(second.done)) >= len(facilities) // 5


def test_an_error_of_the_worker_itself_ends_it() -> None:
    class Broken(FakeOpenWork):
        def free_dead_holders(self) -> int:
            raise TypeError("a defect")

    system = System()
    system.rows = Broken()

    async def scenario() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await system.worker(Calls()).run(asyncio.Event())

    with pytest.raises(TypeError, match="a defect"):
        asyncio.run(scenario())
