"""The contract of OpenWorkRows and WorkHolder: who gets which row, and what becomes of it."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from application.operations.dead_letter_decisions import decision_act
from application.ports.dispatch.open_work import NotHeld, OpenWork, QueueDepth
from application.ports.operations.dead_letters import DeadLetter, DeadLetterDecided, DeadLetterNotFound
from tests.contract.dispatch.open_work_world import FakeWorld, Intent, OpenWorkWorld, postgres_world

AT = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
LONG_S = 3_600.0


@pytest.fixture(params=["fake", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[OpenWorkWorld]:
    if request.param == "fake":
        yield FakeWorld()
        return
    with postgres_world(request.getfixturevalue("database")) as opened:
        yield opened


@pytest.fixture
def holder(world: OpenWorkWorld) -> int:
    return world.number_of(world.new_worker())


def commands(*queues: str) -> list[Intent]:
    """An intent for each, at positions from 1 on."""
    return [("bms", queue, position) for position, queue in enumerate(queues, start=1)]


def callbacks(*queues: str) -> list[Intent]:
    return [("callback", queue, position) for position, queue in enumerate(queues, start=1)]


def take(world: OpenWorkWorld, holder: int, commands: int = 100, checks: int = 100) -> list[OpenWork]:
    return world.rows.take_bms(holder, commands=commands, checks=checks)


def take_callbacks(world: OpenWorkWorld, holder: int, at_most: int = 100, at_once: int = 4) -> list[OpenWork]:
    return world.rows.take_callbacks(holder, at_most=at_most, at_once=at_once)


def places(works: Sequence[OpenWork]) -> list[tuple[str, int | None]]:
    return [(work.queue, work.position) for work in works]


def letter(number: int = 1) -> DeadLetter:
    return DeadLetter(
        dead_letter_id=UUID(int=number),
        queue="bms_command",
        subject="a",
        reason="it never answers",
        body=b"{}",
        parked_at=AT,
    )


def replay(world: OpenWorkWorld, number: int, position: int) -> DeadLetter:
    return world.rows.replay(
        UUID(int=number),
        kind="bms",
        queue="a",
        position=position,
        by="operator:1",
        reason="it answers",
        at=AT,
        act=decision_act([UUID(int=number)], "replayed", by="operator:1", at=AT),
    )


def test_nothing_is_taken_where_nothing_is(world: OpenWorkWorld, holder: int) -> None:
    assert take(world, holder) == take_callbacks(world, holder) == []
    assert world.rows.depths() == []


def test_only_the_first_row_of_each_building_is_taken(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands("a", "b", "a", "c", "b"))

    assert places(take(world, holder)) == [("a", 1), ("b", 2), ("c", 4)]
    assert take(world, holder) == []


def test_the_next_row_is_taken_when_the_first_is_finished(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands("a", "a", "a"))

    order = []
    while works := take(world, holder):
        order += places(works)
        world.rows.finish(works)
    assert order == [("a", 1), ("a", 2), ("a", 3)]


def test_a_row_says_what_it_is_and_by_whom_it_is_held(world: OpenWorkWorld, holder: int) -> None:
    world.add([*commands("a"), *callbacks("util-1")])

    [work], [callback] = take(world, holder), take_callbacks(world, holder)

    assert (work.kind, work.queue, work.position, work.tries, work.holder) == ("bms", "a", 1, 1, holder)
    assert (callback.kind, callback.queue, callback.position) == ("callback", "util-1", 1)


def test_at_most_as_many_buildings_are_taken_as_there_are_places(world: OpenWorkWorld, holder: int) -> None:
    names = [f"fac-{number:03}" for number in range(50)]
    world.add(commands(*names))

    parts = [take(world, holder, commands=20) for _ in range(4)]

    assert [len(part) for part in parts] == [20, 20, 10, 0]
    assert {work.queue for part in parts for work in part} == set(names)


def test_takes_begin_with_different_buildings(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands(*(f"fac-{number:03}" for number in range(100))))

    firsts = set()
    for _ in range(60):
        [work] = take(world, holder, commands=1)
        firsts.add(work.queue)
        world.rows.put_off(work, wall_s=0.0)
    assert len(firsts) > 5


def test_workers_at_the_same_time_never_share_a_row_and_leave_none(world: OpenWorkWorld) -> None:
    names = [f"fac-{number:03}" for number in range(120)]
    world.add(commands(*names, *names))
    holders = [world.number_of(world.new_worker()) for _ in range(4)]
    finished: list[OpenWork] = []
    under_way: set[str] = set()
    shared: list[str] = []

    def work(holder: int) -> None:
        for _ in range(200):
            taken = take(world, holder, commands=16)
            shared.extend(one.queue for one in taken if one.queue in under_way)
            under_way.update(one.queue for one in taken)
            finished.extend(taken)
            under_way.difference_update(one.queue for one in taken)
            world.rows.finish(taken)

    threads = [threading.Thread(target=work, args=(holder,)) for holder in holders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared == []
    assert len(finished) == len({one.number for one in finished}) == 240
    assert world.rows.depths() == []
    for name in names:
        positions = [one.position for one in finished if one.queue == name]
        assert positions == sorted(positions, key=lambda position: position or 0)


def test_a_dead_worker_s_rows_are_freed_and_a_living_one_s_never(world: OpenWorkWorld) -> None:
    dead, alive = world.new_worker(), world.new_worker()
    world.add(commands("a", "b"))
    [lost] = take(world, world.number_of(dead), commands=1)
    [kept] = take(world, world.number_of(alive), commands=1)
    assert world.rows.free_dead_holders() == 0

    world.kill(dead)

    assert world.rows.free_dead_holders() == 1
    [again] = take(world, world.number_of(alive))
    assert (again.number, again.tries) == (lost.number, 2)
    assert kept.number != lost.number


def test_a_worker_whose_session_was_lost_gets_another_number(world: OpenWorkWorld) -> None:
    worker = world.new_worker()
    before = world.number_of(worker)
    world.add(commands("a"))
    [work] = take(world, before)

    world.kill(worker)

    after = world.number_of(worker)
    assert after != before
    assert world.rows.free_dead_holders() == 1
    [again] = take(world, after)
    world.rows.finish([work])  # it is held by the new number
    assert [depth.held for depth in world.rows.depths()] == [1]
    world.rows.finish([again])
    assert world.rows.depths() == []


def test_a_worker_keeps_its_number(world: OpenWorkWorld) -> None:
    worker, other = world.new_worker(), world.new_worker()

    assert world.number_of(worker) == world.number_of(worker) != world.number_of(other)


def test_a_worker_that_ends_frees_only_its_own_rows(world: OpenWorkWorld, holder: int) -> None:
    other = world.number_of(world.new_worker())
    world.add(commands("a", "b", "c"))
    take(world, holder, commands=2)
    [kept] = take(world, other)

    assert world.rows.free(holder) == 2

    assert {work.queue for work in take(world, other)} == {"a", "b", "c"} - {kept.queue}


def test_rows_that_a_worker_keeps_are_not_freed(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands("a", "b", "c"))
    kept, *_ = take(world, holder, commands=3)

    assert world.rows.free(holder, keeping=[kept.number]) == 2

    assert kept.queue not in {work.queue for work in take(world, holder)}
    world.rows.finish([kept])
    assert kept.queue not in {depth.queue for depth in world.rows.depths()}


def test_work_that_is_put_off_keeps_only_its_own_building_waiting(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands("a", "b", "a", "b"))
    first, second = take(world, holder)
    world.rows.put_off(first, wall_s=LONG_S)
    world.rows.finish([second])

    assert places(take(world, holder)) == [("b", 4)]

    world.let_pauses_pass()
    assert places(take(world, holder)) == [("a", 1)]


def test_work_that_is_given_back_without_a_pause_is_taken_at_once(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands("a"))
    [work] = take(world, holder)
    world.rows.put_off(work, wall_s=0.0)

    [again] = take(world, holder)
    assert (again.number, again.tries) == (work.number, 2)


def test_callbacks_of_a_utility_are_taken_in_order_up_to_its_places(
    world: OpenWorkWorld, holder: int
) -> None:
    other = world.number_of(world.new_worker())
    world.add(callbacks(*["util-1"] * 6, "util-2"))

    taken = take_callbacks(world, holder)
    assert places(taken) == [("util-1", 1), ("util-1", 2), ("util-1", 3), ("util-1", 4), ("util-2", 7)]
    assert take_callbacks(world, other) == []

    world.rows.finish(taken[:1])
    assert places(take_callbacks(world, other)) == [("util-1", 5)]


def test_a_callback_that_is_put_off_keeps_no_other_waiting(world: OpenWorkWorld, holder: int) -> None:
    world.add(callbacks(*["util-1"] * 8))
    for work in take_callbacks(world, holder):
        world.rows.put_off(work, wall_s=LONG_S)

    assert places(take_callbacks(world, holder)) == [("util-1", number) for number in (5, 6, 7, 8)]


def test_no_more_callbacks_are_taken_than_the_worker_has_places_for(
    world: OpenWorkWorld, holder: int
) -> None:
    world.add(callbacks("util-1", "util-2", "util-3", "util-1"))

    parts = [take_callbacks(world, holder, at_most=3) for _ in range(2)]
    assert [len(part) for part in parts] == [3, 1]


def test_callbacks_and_work_of_buildings_are_taken_apart(world: OpenWorkWorld, holder: int) -> None:
    world.add([*commands("same"), *callbacks("same")])

    assert [work.kind for work in take(world, holder)] == ["bms"]
    assert [work.kind for work in take_callbacks(world, holder)] == ["callback"]


def test_only_the_holder_finishes_or_puts_off(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands("a", "b"))
    mine, other = take(world, holder)
    of_another = msgspec.structs.replace(mine, holder=holder + 1)

    world.rows.finish([of_another])
    world.rows.put_off(of_another, wall_s=0.0)
    assert [depth.held for depth in world.rows.depths()] == [1, 1]

    world.rows.finish([mine, other, mine])
    world.rows.finish([])
    assert world.rows.depths() == []


def test_parking_stores_the_letters_and_takes_the_row_away(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands("a", "a"))
    [work] = take(world, holder)

    world.rows.park(work, [letter(2), letter(1)])

    assert {one.dead_letter_id.int for one in world.letters.listed()} == {1, 2}
    assert places(take(world, holder)) == [("a", 2)]


def test_work_that_another_holds_is_not_parked(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands("a"))
    [work] = take(world, holder)

    with pytest.raises(NotHeld):
        world.rows.park(msgspec.structs.replace(work, holder=holder + 1), [letter()])

    assert world.letters.listed() == []
    assert [depth.rows for depth in world.rows.depths()] == [1]


def test_work_is_not_parked_behind_a_letter_that_is_decided(world: OpenWorkWorld, holder: int) -> None:
    world.letters.park(letter(1))
    world.letters.decide(UUID(int=1), status="discarded", by="operator:1", reason="obsolete", at=AT)
    world.add(commands("a"))
    [work] = take(world, holder)

    with pytest.raises(DeadLetterDecided):
        world.rows.park(work, [letter(2), letter(1)])

    assert [one.dead_letter_id.int for one in world.letters.listed(status=None)] == [1]
    assert [depth.held for depth in world.rows.depths()] == [1]


def test_a_replay_puts_the_row_back_at_the_end_of_its_queue(world: OpenWorkWorld, holder: int) -> None:
    world.add(commands("a", "a"))
    [work] = take(world, holder)
    world.rows.park(work, [letter()])

    decided = replay(world, 1, position=1)

    assert (decided.status, decided.decided_by) == ("replayed", "operator:1")
    assert world.letters.get(UUID(int=1)) == decided
    first = take(world, holder)
    world.rows.finish(first)
    second = take(world, holder)
    assert places([*first, *second]) == [("a", 2), ("a", 1)]
    assert second[0].tries == 1


def test_a_letter_is_replayed_once_and_an_unknown_one_never(world: OpenWorkWorld, holder: int) -> None:
    world.letters.park(letter())
    replay(world, 1, position=1)

    with pytest.raises(DeadLetterDecided, match="already replayed"):
        replay(world, 1, position=1)
    with pytest.raises(DeadLetterNotFound):
        replay(world, 9, position=1)
    assert [depth.rows for depth in world.rows.depths()] == [1]


def test_a_building_has_one_check_at_a_time(world: OpenWorkWorld, holder: int) -> None:
    assert world.rows.add_checks(["b", "a", "b"]) == 2
    assert world.rows.add_checks({"a", "c"}) == 1
    assert world.rows.add_checks([]) == 0

    checks = take(world, holder)
    assert [(check.queue, check.position) for check in checks] == [("a", None), ("b", None), ("c", None)]
    assert world.rows.add_checks(["a"]) == 0  # also while it is held
    world.rows.finish(checks)
    assert world.rows.add_checks(["a"]) == 1


def test_checks_have_places_of_their_own(world: OpenWorkWorld, holder: int) -> None:
    world.rows.add_checks([f"fac-{number:03}" for number in range(90)])
    world.add(commands(*(f"fac-{number:03}" for number in range(60, 120))))

    taken = take(world, holder, commands=100, checks=20)

    assert sum(work.position is None for work in taken) == 20
    assert sum(work.position is not None for work in taken) == 60
    assert take(world, holder, commands=100, checks=0) == []


def test_a_check_that_waits_keeps_no_command_waiting(world: OpenWorkWorld, holder: int) -> None:
    world.rows.add_checks(["a"])
    world.add(commands("a", "a"))

    order: list[Any] = []
    while works := take(world, holder):
        order += places(works)
        world.rows.finish(works)
    assert order == [("a", 1), ("a", 2), ("a", None)]


def test_nothing_of_a_building_is_taken_while_its_check_or_its_command_is_held(
    world: OpenWorkWorld, holder: int
) -> None:
    world.rows.add_checks(["a"])
    [check] = take(world, holder)
    world.add(commands("a", "b"))
    assert places(take(world, holder)) == [("b", 2)]
    world.rows.add_checks(["b"])
    assert take(world, holder) == []

    world.rows.finish([check])
    assert places(take(world, holder)) == [("a", 1)]


def test_depths_say_what_each_queue_holds(world: OpenWorkWorld, holder: int) -> None:
    world.add([("bms", "a", 7), ("bms", "a", 9), ("callback", "util-1", 8), ("callback", "util-1", 10)])
    world.rows.add_checks(["a", "b"])
    for callback in take_callbacks(world, holder, at_once=1):
        world.rows.put_off(callback, wall_s=LONG_S)
    [command] = take(world, holder, checks=0)
    world.rows.put_off(command, wall_s=0.0)
    take(world, holder, checks=0)

    of_a = QueueDepth(kind="bms", queue="a", rows=3, checks=1, held=1, due=2, first_position=7, most_tries=2)
    of_b = QueueDepth(
        kind="bms", queue="b", rows=1, checks=1, held=0, due=1, first_position=None, most_tries=0
    )
    of_util = QueueDepth(
        kind="callback", queue="util-1", rows=2, checks=0, held=0, due=1, first_position=8, most_tries=1
    )
    assert world.rows.depths() == [of_a, of_b, of_util]
    assert world.rows.depths("callback") == [of_util]


def test_thirty_thousand_rows_change_nothing(world: OpenWorkWorld, holder: int) -> None:
    pile = [("callback", "util-000", position) for position in range(1, 10_001)]
    busy = [("bms", "fac-000", position) for position in range(10_001, 29_001)]
    others = [("bms", f"fac-{number:03}", 29_000 + number) for number in range(1, 501)]
    late = [("callback", f"util-{number:03}", 29_500 + number) for number in range(1, 501)]
    world.add([*pile, *busy, *others, *late])  # type: ignore[list-item]

    [*_] = first = take(world, holder, commands=1_000)
    assert len(first) == len({work.queue for work in first}) == 501
    assert [work.position for work in first if work.queue == "fac-000"] == [10_001]
    assert take(world, holder, commands=1_000) == []
    called = take_callbacks(world, holder, at_most=1_000)
    assert [work.position for work in called if work.queue == "util-000"] == [1, 2, 3, 4]
    assert len(called) == 504

    world.rows.finish([*first, *called])
    assert places(take(world, holder)) == [("fac-000", 10_002)]
    assert sum(depth.rows for depth in world.rows.depths()) == 30_000 - 501 - 504
