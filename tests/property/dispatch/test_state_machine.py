"""DR events and dispatches against hand-written tables from docs/domain: state x command -> result.

A cell is the next state, `.` (nothing is recorded), `x` (refused with a named error), or `=` (recorded, same
state). The states of a dispatch are finer than its status: the outcome of its last command decides what may
follow. Wide tables are split into blocks of columns.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from domain.dispatch import DispatchStatus
from domain.dr_event import DREventStatus
from domain.errors import DomainError
from tests.sizes import examples
from tests.state_walks import DispatchWalk, DREventWalk, Walk, dispatch_walk, dr_event_walk

DR_EVENT_TABLE = """
state         | accept   accept_newer reject   schedule  refuse_planning refuse_planning_anew cancel    withdraw
opened        | accepted accepted     rejected x         x               x                    x         withdrawn
rejected      | accepted accepted     rejected x         x               x                    x         withdrawn
withdrawn     | x        accepted     x        x         x               x                    .         .
accepted      | x        x            x        scheduled plan_refused    plan_refused         cancelled x
plan_refused  | x        x            x        scheduled .               =                    cancelled x
scheduled     | x        x            x        x         x               x                    cancelled x
preparing     | x        x            x        x         x               x                    cancelled x
active        | x        x            x        x         x               x                    cut_short x
recovering    | x        x            x        x         x               x                    x         x
completed     | x        x            x        x         x               x                    x         x
given_up      | x        x            x        x         x               x                    x         x
measured      | x        x            x        x         x               x                    x         x
cancelled     | x        x            x        x         x               x                    .         x
cut_short     | x        x            x        x         x               x                    .         x
wound_up      | x        x            x        x         x               x                    .         x
short_measure | x        x            x        x         x               x                    .         x

state         | prepare_due start_due end_due    give_up_due complete  measure       wind_up remeasure
opened        | .           .         .          .           x         x             x           x
rejected      | .           .         .          .           x         x             x           x
withdrawn     | .           .         .          .           x         x             x           x
accepted      | .           .         .          given_up    x         x             x           x
plan_refused  | .           .         .          given_up    x         x             x           x
scheduled     | preparing   .         .          .           x         x             x           x
preparing     | .           active    .          .           x         x             x           x
active        | .           .         recovering .           x         x             x           x
recovering    | .           .         .          .           completed x             x           x
completed     | .           .         .          .           x         measured      x           x
given_up      | .           .         .          .           x         measured      x           x
measured      | .           .         .          .           x         .             x           =
cancelled     | .           .         .          .           x         x             x           x
cut_short     | .           .         .          .           x         x             wound_up    x
wound_up      | .           .         .          .           x         short_measure .           x
short_measure | .           .         .          .           x         .             .           =

state        | modify   modify_stale refuse_modification reprice  rename_kind replan_far replan_near preempt abort_batch
opened       | x        x            x                   x        x           x          x           x       x
rejected     | x        x            x                   x        x           x          x           x       x
withdrawn    | x        x            x                   x        x           x          x           x       x
accepted     | =        x            =                   =        =           x          x           =       x
plan_refused | accepted x            =                   accepted accepted    x          x           =       x
scheduled    | =        x            =                   =        =           =          =           =       recovering
preparing    | =        x            =                   =        =           scheduled  =           =       recovering
active       | =        x            =                   =        =           =          =           =       recovering
recovering   | x        x            =                   =        x           x          x           x       x
completed    | x        x            =                   =        x           x          x           x       x
given_up     | x        x            =                   =        x           x          x           x       x
measured     | x        x            =                   =        x           x          x           x       x
cancelled    | x        x            x                   x        x           x          x           x       x
cut_short    | x        x            =                   =        x           x          x           x       x
wound_up     | x        x            =                   =        x           x          x           x       x
short_measure| x        x            =                   =        x           x          x           x       x

state         | settle
opened        | x
rejected      | x
withdrawn     | x
accepted      | x
plan_refused  | x
scheduled     | x
preparing     | x
active        | x
recovering    | x
completed     | x
given_up      | x
measured      | =
cancelled     | =
cut_short     | x
wound_up      | x
short_measure | =
"""
# A command that is too early records nothing in any state.
EARLY = ("prepare_early", "start_early", "end_early", "give_up_early")
DR_EVENT_STATUS = {
    "plan_refused": "accepted",
    "given_up": "completed",
    "measured": "completed",
    "withdrawn": "cancelled",
    "cut_short": "cancelled_while_active",
    "wound_up": "cancelled_while_active",
    "short_measure": "cancelled_while_active",
}

DISPATCH_TABLE = """
state                 | block   override prepare   commit     restore   abort    fail_unprepared bms_drifted
planned               | blocked x        preparing .          .         aborted  failed          .
blocked               | x       planned  .         .          .         aborted  failed          .
preparing             | x       x        .         .          .         .        .               .
prepared              | x       x        .         committing .         aborting .               .
committing            | x       x        .         .          .         .        .               .
committing_sent       | x       x        .         .          .         .        .               .
committed             | x       x        .         .          restoring .        .               =
verified_by_bms       | x       x        .         .          restoring .        .               .
verified_by_meter     | x       x        .         .          restoring .        .               .
restoring             | x       x        .         .          .         .        .               .
restored              | x       x        .         .          .         .        .               .
restored_hand         | x       x        .         .          .         .        .               .
hand_uncommitted      | x       x        .         .          .         .        .               .
restore_refused       | x       x        .         .          .         .        .               .
restore_unknown       | x       x        .         .          .         .        .               .
failed                | x       x        .         .          .         .        .               .
failed_prepare        | x       x        .         .          .         .        .               .
failed_commit         | x       x        .         .          .         .        .               .
failed_commit_unknown | x       x        .         .          .         .        .               .
compensating_abort    | x       x        .         .          .         .        .               .
compensating_restore  | x       x        .         .          .         .        .               .
undo_refused          | x       x        .         .          .         .        .               .
undo_unknown          | x       x        .         .          .         .        .               .
compensated           | x       x        .         .          .         .        .               .
compensated_hand      | x       x        .         .          .         .        .               .
compensated_unknown   | x       x        .         .          .         .        .               .
aborting              | x       x        .         .          .         .        .               .
aborted               | x       x        .         .          .         .        .               .
released              | x       x        .         .          .         .        .               .
released_unknown      | x       x        .         .          .         .        .               .
preparing_left        | x       x        .         .          .         .        .               .
prepared_left         | x       x        .         .          .         aborting .               .
committing_left       | x       x        .         .          .         .        .               .
committing_left_sent  | x       x        .         .          .         .        .               .
committed_left        | x       x        .         .          restoring .        .               .
restore_waiting       | x       x        .         .          .         .        .               .

state                 | success        refusal         gave_up               never_sent      attempt
planned               | x              x               x                     x               x
blocked               | x              x               x                     x               x
preparing             | prepared       failed_prepare  failed_prepare        failed_prepare  =
prepared              | .              .               .                     .               x
committing            | committed      failed_commit   failed_commit_unknown failed_commit   committing_sent
committing_sent       | committed      failed_commit   failed_commit_unknown failed_commit   =
committed             | .              .               .                     .               x
verified_by_bms       | .              .               .                     .               x
verified_by_meter     | .              .               .                     .               x
restoring             | restored       restore_refused restore_unknown       restore_refused =
restored              | .              .               .                     .               x
restored_hand         | .              .               .                     .               x
hand_uncommitted      | restoring      .               .                     .               x
restore_refused       | .              .               .                     .               x
restore_unknown       | .              .               .                     .               x
failed                | x              x               x                     x               x
failed_prepare        | .              .               .                     .               x
failed_commit         | .              .               .                     .               x
failed_commit_unknown | .              .               .                     .               x
compensating_abort    | compensated    compensated     compensated_unknown   compensated     =
compensating_restore  | compensated    undo_refused    undo_unknown          undo_refused    =
undo_refused          | .              .               .                     .               x
undo_unknown          | .              .               .                     .               x
compensated           | .              .               .                     .               x
compensated_hand      | .              .               .                     .               x
compensated_unknown   | .              .               .                     .               x
aborting              | released       released        released_unknown      released        =
aborted               | x              x               x                     x               x
released              | .              .               .                     .               x
released_unknown      | .              .               .                     .               x
preparing_left        | prepared_left  failed_prepare  failed_prepare        failed_prepare  =
prepared_left         | .              .               .                     .               x
committing_left       | committed_left failed_commit   failed_commit_unknown failed_commit   committing_left_sent
committing_left_sent  | committed_left failed_commit   failed_commit_unknown failed_commit   =
committed_left        | .              .               .                     .               x
restore_waiting       | .              .               .                     .               x

state                 | compensate           retry_restore        reissue              restored_by_hand
planned               | .                    .                    x                    x
blocked               | .                    .                    x                    x
preparing             | .                    .                    x                    x
prepared              | .                    .                    x                    x
committing            | .                    .                    x                    x
committing_sent       | .                    .                    x                    hand_uncommitted
committed             | .                    .                    x                    restored_hand
verified_by_bms       | .                    .                    x                    restored_hand
verified_by_meter     | .                    .                    x                    restored_hand
restoring             | .                    .                    x                    restored_hand
restored              | .                    .                    x                    x
restored_hand         | .                    .                    x                    .
hand_uncommitted      | .                    .                    x                    .
restore_refused       | .                    restoring            x                    restored_hand
restore_unknown       | .                    restoring            restoring            restored_hand
failed                | .                    .                    x                    x
failed_prepare        | .                    .                    x                    x
failed_commit         | compensating_abort   .                    x                    x
failed_commit_unknown | compensating_restore .                    x                    compensated_hand
compensating_abort    | .                    .                    x                    x
compensating_restore  | .                    .                    x                    compensated_hand
undo_refused          | .                    compensating_restore x                    compensated_hand
undo_unknown          | .                    compensating_restore compensating_restore compensated_hand
compensated           | .                    .                    x                    x
compensated_hand      | .                    .                    x                    .
compensated_unknown   | .                    .                    compensating_abort   x
aborting              | .                    .                    x                    x
aborted               | .                    .                    x                    x
released              | .                    .                    x                    x
released_unknown      | .                    .                    aborting             x
preparing_left        | .                    .                    x                    x
prepared_left         | .                    .                    x                    x
committing_left       | .                    .                    x                    x
committing_left_sent  | .                    .                    x                    hand_uncommitted
committed_left        | .                    .                    x                    restored_hand
restore_waiting       | .                    .                    x                    restored_hand

state                 | bms_agrees      meter_agrees      measure not_measurable
planned               | .               .                 x       =
blocked               | .               .                 x       =
preparing             | .               .                 x       =
prepared              | .               .                 x       =
committing            | .               .                 x       =
committing_sent       | .               .                 x       =
committed             | verified_by_bms verified_by_meter =       =
verified_by_bms       | .               verified_by_meter =       =
verified_by_meter     | .               .                 =       =
restoring             | .               .                 =       =
restored              | .               .                 =       =
restored_hand         | .               .                 =       =
hand_uncommitted      | .               .                 x       =
restore_refused       | .               .                 =       =
restore_unknown       | .               .                 =       =
failed                | .               .                 x       =
failed_prepare        | .               .                 x       =
failed_commit         | .               .                 x       =
failed_commit_unknown | .               .                 x       =
compensating_abort    | .               .                 x       =
compensating_restore  | .               .                 x       =
undo_refused          | .               .                 x       =
undo_unknown          | .               .                 x       =
compensated           | .               .                 x       =
compensated_hand      | .               .                 x       =
compensated_unknown   | .               .                 x       =
aborting              | .               .                 x       =
aborted               | .               .                 x       =
released              | .               .                 x       =
released_unknown      | .               .                 x       =
preparing_left        | .               .                 x       =
prepared_left         | .               .                 x       =
committing_left       | .               .                 x       =
committing_left_sent  | .               .                 x       =
committed_left        | .               .                 =       =
restore_waiting       | .               .                 =       =

state                 | leave                restore_spread  restore_due unblock
planned               | aborted              .               .           .
blocked               | aborted              .               .           planned
preparing             | preparing_left       .               .           .
prepared              | aborting             .               .           .
committing            | committing_left      .               .           .
committing_sent       | committing_left_sent .               .           .
committed             | restoring            restore_waiting .           .
verified_by_bms       | restoring            restore_waiting .           .
verified_by_meter     | restoring            restore_waiting .           .
restoring             | .                    .               .           .
restored              | .                    .               .           .
restored_hand         | .                    .               .           .
hand_uncommitted      | .                    .               .           .
restore_refused       | .                    .               .           .
restore_unknown       | .                    .               .           .
failed                | .                    .               .           .
failed_prepare        | .                    .               .           .
failed_commit         | .                    .               .           .
failed_commit_unknown | .                    .               .           .
compensating_abort    | .                    .               .           .
compensating_restore  | .                    .               .           .
undo_refused          | .                    .               .           .
undo_unknown          | .                    .               .           .
compensated           | .                    .               .           .
compensated_hand      | .                    .               .           .
compensated_unknown   | .                    .               .           .
aborting              | .                    .               .           .
aborted               | .                    .               .           .
released              | .                    .               .           .
released_unknown      | .                    .               .           .
preparing_left        | .                    .               .           .
prepared_left         | .                    .               .           .
committing_left       | .                    .               .           .
committing_left_sent  | .                    .               .           .
committed_left        | .                    restore_waiting .           .
restore_waiting       | .                    .               restoring   .
"""
DISPATCH_STATUS = {
    "restore_refused": "restore_failed",
    "restore_unknown": "restore_failed",
    "undo_refused": "restore_failed",
    "undo_unknown": "restore_failed",
    "failed_prepare": "failed",
    "failed_commit": "failed",
    "failed_commit_unknown": "failed",
    "compensating_abort": "compensating",
    "compensating_restore": "compensating",
    "compensated_unknown": "compensated",
    "restored_hand": "restored",
    "hand_uncommitted": "restored",
    "committing_sent": "committing",
    "committing_left_sent": "committing",
    "compensated_hand": "compensated",
    "preparing_left": "preparing",
    "prepared_left": "prepared",
    "committing_left": "committing",
    "committed_left": "committed",
    "restore_waiting": "restoring",
    "released": "aborted",
    "released_unknown": "aborted",
}
ONCE = {"measure", "not_measurable"}
"""A dispatch is measured, or found not measurable, once; then both change nothing."""


@dataclass(frozen=True)
class Table:
    """Cells by (state, step)."""

    first: str
    cells: dict[tuple[str, str], str]
    statuses: dict[str, str]

    @classmethod
    def of(cls, text: str, statuses: dict[str, str], *, never: tuple[str, ...] = ()) -> "Table":
        cells: dict[tuple[str, str], str] = {}
        for block in text.strip().split("\n\n"):
            head, *rows = [line.split("|") for line in block.splitlines()]
            for state, row in rows:
                for step, cell in zip(head[1].split(), row.split(), strict=True):
                    cells[state.strip(), step] = cell
        states = list(dict.fromkeys(state for state, _ in cells))
        cells |= {(state, step): "." for state in states for step in never}
        return cls(states[0], cells, statuses)

    @property
    def states(self) -> list[str]:
        return sorted({state for state, _ in self.cells})

    @property
    def steps(self) -> list[str]:
        return sorted({step for _, step in self.cells})

    def status(self, state: str) -> str:
        return self.statuses.get(state, state)

    def way_to(self, wanted: str) -> list[str]:
        """The shortest sequence of steps from the first state."""
        ways: dict[str, list[str]] = {self.first: []}
        queue = deque([self.first])
        while queue:
            state = queue.popleft()
            for step in self.steps:
                following = self.cells[state, step]
                if following not in {".", "x", "="} and following not in ways:
                    ways[following] = [*ways[state], step]
                    queue.append(following)
        return ways[wanted]


DR_EVENT = Table.of(DR_EVENT_TABLE, DR_EVENT_STATUS, never=EARLY)
DISPATCH = Table.of(DISPATCH_TABLE, DISPATCH_STATUS, never=("restore_due_early",))
WALKS: dict[str, tuple[Table, Callable[[], Walk]]] = {
    "dr-event": (DR_EVENT, dr_event_walk),
    "dispatch": (DISPATCH, dispatch_walk),
}


class Follower:
    """Takes steps and compares each with its cell; `hit` holds the cells that were tested."""

    def __init__(self, table: Table, walk: Walk, hit: set[tuple[str, str]]) -> None:
        self.table, self.walk, self.hit = table, walk, hit
        self.state = table.first
        self.was_measured = False

    def take(self, step: str) -> None:
        cell = self.table.cells[self.state, step]
        if self.table is DISPATCH and step in ONCE:
            if self.was_measured:
                cell = "."
            self.was_measured |= cell == "="
        before = self.walk.aggregate.state
        if cell == "x":
            with pytest.raises(DomainError):
                self.walk.take(step)
            assert self.walk.aggregate.state == before
        else:
            recorded = self.walk.take(step)
            assert (recorded == 0) == (cell == "."), f"{step} in {self.state} recorded {recorded}"
        self.hit.add((self.state, step))
        if cell not in {".", "x", "="}:
            self.state = cell
        assert self.walk.aggregate.state.status == self.table.status(self.state), step


def test_the_tables_cover_every_status() -> None:
    dr_event = {DR_EVENT.status(state) for state in DR_EVENT.states}
    assert dr_event == set(get_args(DREventStatus))
    assert {DISPATCH.status(state) for state in DISPATCH.states} == set(get_args(DispatchStatus))


def test_the_tables_cover_every_step() -> None:
    """A command that is added to an aggregate and its walk needs a column."""
    for table, kind in ((DR_EVENT, DREventWalk), (DISPATCH, DispatchWalk)):
        steps = {name for name, value in vars(kind).items() if callable(value) and name[0] != "_"}
        assert set(table.steps) == steps - {"choose"}


@pytest.mark.parametrize("name", WALKS)
def test_the_aggregate_behaves_as_every_cell_of_the_table_states(name: str) -> None:
    table, begin = WALKS[name]
    hit: set[tuple[str, str]] = set()
    for state in table.states:
        for step in table.steps:
            follower = Follower(table, begin(), hit)
            for on_the_way in table.way_to(state):
                follower.take(on_the_way)
            assert follower.state == state
            follower.take(step)
    assert hit == set(table.cells)


class RandomWalk(RuleBasedStateMachine):
    """Every step matches the table for any order of commands."""

    name: ClassVar[str]
    hit: ClassVar[set[tuple[str, str]]] = set()

    def __init__(self) -> None:
        super().__init__()
        table, begin = WALKS[self.name]
        self.follower = Follower(table, begin(), self.hit)

    @rule(data=st.data())
    def any_step(self, data: st.DataObject) -> None:
        self.follower.take(data.draw(st.sampled_from(self.follower.table.steps)))

    @rule(data=st.data())
    @precondition(lambda self: self.moves)
    def step_that_moves(self, data: st.DataObject) -> None:
        self.follower.take(data.draw(st.sampled_from(self.moves)))

    @property
    def moves(self) -> list[str]:
        """The steps that are possible in this state."""
        table, state = self.follower.table, self.follower.state
        return [step for step in table.steps if table.cells[state, step] not in {".", "x"}]

    def teardown(self) -> None:
        """A replay of the recorded domain events gives the same state."""
        aggregate: Any = None
        for domain_event in self.follower.walk.recorded:
            aggregate = cast("Any", domain_event).mutate(aggregate)
        assert aggregate.state == self.follower.walk.aggregate.state


class DREventRandomWalk(RandomWalk):
    name = "dr-event"


class DispatchRandomWalk(RandomWalk):
    name = "dispatch"


TestDREventRandomWalk = DREventRandomWalk.TestCase
TestDREventRandomWalk.settings = settings(max_examples=examples(60), stateful_step_count=30)
TestDispatchRandomWalk = DispatchRandomWalk.TestCase
TestDispatchRandomWalk.settings = settings(max_examples=examples(100), stateful_step_count=40)
