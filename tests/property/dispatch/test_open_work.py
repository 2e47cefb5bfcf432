"""Open work under any sequence of saves, takes, ends and deaths of workers: no row is lost, none is held by two, and
each queue is worked off in order. On the fake, and on PostgreSQL with fewer examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from application.operations.dead_letter_decisions import decision_act
from application.ports.dispatch.open_work import NotHeld, OpenWork, WorkHolder, WorkKind
from application.ports.operations.dead_letters import DeadLetter
from tests.contract.dispatch.open_work_world import FakeWorld, OpenWorkWorld, postgres_world
from tests.servers import Database
from tests.sizes import examples

AT = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
FACILITIES, UTILITIES = ("fac-1", "fac-2", "fac-3"), ("util-1", "util-2")
AT_ONCE = 2
WORKERS = st.integers(0, 2)
CHOICES = st.integers(0, 10_000)


@dataclass(eq=False)
class Expected:
    """A row as the model knows it. Intents of all queues have different positions."""

    kind: WorkKind
    queue: str
    position: int | None
    holder: int | None = None
    tries: int = 0
    is_put_off: bool = False

    @property
    def can_be_taken(self) -> bool:
        return self.holder is None and not self.is_put_off


class OpenWorkMachine(RuleBasedStateMachine):
    opened: Callable[[], OpenWorkWorld] = FakeWorld

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).opened()
        self.workers: list[WorkHolder] = [self.world.new_worker() for _ in range(3)]
        self.expected: list[Expected] = []
        """In the order in which they were added."""
        self.in_hand: list[tuple[OpenWork, Expected]] = []
        """What was taken, also by workers that died since."""
        self.parked: list[tuple[UUID, Expected]] = []
        self.positions = count(1)

    # what happens

    @rule(queue=st.sampled_from(FACILITIES), number=st.integers(1, 3))
    def commands_are_recorded(self, queue: str, number: int) -> None:
        self.record("bms", queue, number)

    @rule(queue=st.sampled_from(UTILITIES), number=st.integers(1, 4))
    def callbacks_are_recorded(self, queue: str, number: int) -> None:
        self.record("callback", queue, number)

    def record(self, kind: WorkKind, queue: str, number: int) -> None:
        rows = [Expected(kind, queue, next(self.positions)) for _ in range(number)]
        self.world.add((kind, queue, row.position) for row in rows if row.position is not None)
        self.expected += rows

    @rule(queues=st.sets(st.sampled_from(FACILITIES)))
    def checks_are_due(self, queues: set[str]) -> None:
        new = sorted(queue for queue in queues if self.check_of(queue) is None)
        assert self.world.rows.add_checks(queues) == len(new)
        self.expected += [Expected("bms", queue, None) for queue in new]

    @rule(worker=WORKERS, commands=st.integers(0, 3), checks=st.integers(0, 2))
    def work_is_taken(self, worker: int, commands: int, checks: int) -> None:
        holder = self.number_of(worker)
        heads = [head for queue in FACILITIES if (head := self.head_of(queue)) is not None]
        free = {True: commands, False: checks}

        taken = self.world.rows.take_bms(holder, commands=commands, checks=checks)

        for is_intent, places in free.items():
            due = [head for head in heads if (head.position is not None) == is_intent]
            got = [work for work in taken if (work.position is not None) == is_intent]
            assert len(got) == min(places, len(due))
        self.note_taken(taken, holder, heads)

    @rule(worker=WORKERS, at_most=st.integers(0, 5))
    def callbacks_are_taken(self, worker: int, at_most: int) -> None:
        holder = self.number_of(worker)
        first = [row for queue in UTILITIES for row in self.first_due(queue)]

        taken = self.world.rows.take_callbacks(holder, at_most=at_most, at_once=AT_ONCE)

        assert len(taken) == min(at_most, len(first))
        self.note_taken(taken, holder, first)

    def note_taken(self, taken: list[OpenWork], holder: int, allowed: list[Expected]) -> None:
        places = {(row.kind, row.queue, row.position): row for row in allowed}
        for work in taken:
            row = places.pop((work.kind, work.queue, work.position))
            row.holder, row.tries = holder, row.tries + 1
            assert (work.holder, work.tries) == (row.holder, row.tries)
            self.in_hand.append((work, row))

    @rule(choice=CHOICES)
    def work_is_finished(self, choice: int) -> None:
        if self.in_hand:
            work, row = self.in_hand.pop(choice % len(self.in_hand))
            is_held = row in self.expected and row.holder == work.holder
            self.world.rows.finish([work])
            if is_held:
                self.expected.remove(row)

    @rule(choice=CHOICES, is_long=st.booleans())
    def work_is_put_off(self, choice: int, is_long: bool) -> None:
        if self.in_hand:
            work, row = self.in_hand.pop(choice % len(self.in_hand))
            self.world.rows.put_off(work, wall_s=3_600.0 if is_long else 0.0)
            if row in self.expected and row.holder == work.holder:
                row.holder, row.is_put_off = None, is_long

    @rule(choice=CHOICES)
    def work_is_parked(self, choice: int) -> None:
        if not self.in_hand:
            return
        work, row = self.in_hand.pop(choice % len(self.in_hand))
        letter = DeadLetter(
            dead_letter_id=uuid4(),
            queue="callback" if row.kind == "callback" else "bms_command",
            subject=row.queue,
            reason="it never answers",
            body=b"{}",
            parked_at=AT,
        )
        if row in self.expected and row.holder == work.holder:
            self.world.rows.park(work, [letter])
            self.expected.remove(row)
            self.parked.append((letter.dead_letter_id, row))
        else:
            with pytest.raises(NotHeld):
                self.world.rows.park(work, [letter])

    @rule(choice=CHOICES)
    def a_letter_is_replayed(self, choice: int) -> None:
        replayable = [parked for parked in self.parked if parked[1].position is not None]
        if not replayable:
            return
        letter_id, row = parked = replayable[choice % len(replayable)]
        self.parked.remove(parked)
        assert row.position is not None
        self.world.rows.replay(
            letter_id,
            kind=row.kind,
            queue=row.queue,
            position=row.position,
            by="operator:1",
            reason="it answers",
            at=AT,
            act=decision_act([letter_id], "replayed", by="operator:1", at=AT),
        )
        self.expected.append(Expected(row.kind, row.queue, row.position))

    @rule()
    def pauses_pass(self) -> None:
        self.world.let_pauses_pass()
        for row in self.expected:
            row.is_put_off = False

    @rule(worker=WORKERS)
    def a_worker_dies(self, worker: int) -> None:
        self.world.kill(self.workers[worker])
        self.workers[worker] = self.world.new_worker()

    @rule()
    def dead_holders_are_freed(self) -> None:
        living = {self.number_of(worker) for worker in range(3)}
        lost = [row for row in self.expected if row.holder is not None and row.holder not in living]
        assert self.world.rows.free_dead_holders() == len(lost)
        for row in lost:
            row.holder = None

    @rule(worker=WORKERS)
    def a_worker_frees_its_rows(self, worker: int) -> None:
        holder = self.number_of(worker)
        own = [row for row in self.expected if row.holder == holder]
        assert self.world.rows.free(holder) == len(own)
        for row in own:
            row.holder = None

    # what always holds

    @invariant()
    def every_queue_has_the_expected_rows(self) -> None:
        depths = {(depth.kind, depth.queue): depth for depth in self.world.rows.depths()}
        queues: dict[tuple[WorkKind, str], list[Expected]] = {}
        for row in self.expected:
            queues.setdefault((row.kind, row.queue), []).append(row)
        assert depths.keys() == queues.keys()
        for queue, rows in queues.items():
            depth = depths[queue]
            assert depth.rows == len(rows)
            assert depth.checks == sum(row.position is None for row in rows)
            assert depth.held == sum(row.holder is not None for row in rows)
            assert depth.due == sum(row.can_be_taken for row in rows)
            assert depth.most_tries == max(row.tries for row in rows)

    def teardown(self) -> None:
        """Whatever happened before: all rows are worked off, each queue in its order."""
        for worker in range(3):
            self.world.rows.free(self.number_of(worker))
        self.world.rows.free_dead_holders()
        self.world.let_pauses_pass()
        holder = self.number_of(0)
        order: list[tuple[WorkKind, str, int | None]] = []
        while taken := [
            *self.world.rows.take_bms(holder, commands=9, checks=9),
            *self.world.rows.take_callbacks(holder, at_most=9, at_once=AT_ONCE),
        ]:
            order += [(work.kind, work.queue, work.position) for work in taken]
            self.world.rows.finish(taken)
        for kind, names in (("bms", FACILITIES), ("callback", UTILITIES)):
            for name in names:
                done = [position for *queue, position in order if queue == [kind, name]]
                rows = [row.position for row in self.expected if (row.kind, row.queue) == (kind, name)]
                assert done == sorted(rows, key=lambda position: position is None)

    # the model

    def number_of(self, worker: int) -> int:
        return self.world.number_of(self.workers[worker])

    def check_of(self, queue: str) -> Expected | None:
        return next((row for row in self.expected if row.queue == queue and row.position is None), None)

    def head_of(self, queue: str) -> Expected | None:
        rows = [row for row in self.expected if row.queue == queue]
        head = next((row for row in rows if row.position is not None), self.check_of(queue))
        is_busy = any(row.holder is not None for row in rows)
        return head if head is not None and head.can_be_taken and not is_busy else None

    def first_due(self, queue: str) -> list[Expected]:
        rows = [row for row in self.expected if row.queue == queue]
        free = AT_ONCE - sum(row.holder is not None for row in rows)
        return [row for row in rows if row.can_be_taken][: max(0, free)]


def test_no_row_is_lost_or_held_by_two_and_queues_keep_their_order() -> None:
    run_state_machine_as_test(
        OpenWorkMachine,
        settings=settings(max_examples=examples(100), stateful_step_count=40),
    )


def test_nor_on_postgresql(database: Database) -> None:
    with postgres_world(database) as world:

        class OnPostgres(OpenWorkMachine):
            @staticmethod
            def opened() -> OpenWorkWorld:
                world.clear()
                return world

        run_state_machine_as_test(
            OnPostgres,
            settings=settings(
                max_examples=examples(15),
                stateful_step_count=30,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
