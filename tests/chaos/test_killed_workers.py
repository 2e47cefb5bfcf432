"""Workers killed with -9 at named failpoints during work: always the same result."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.demo_runs import KILLED, DemoRun, DemoRuns

ALL = {
    "dispatch.before_call_commit": r"commit fac-\d+/zone-\d+ [0-9a-f-]{36}",
    "dispatch.after_call_restore": r"restore fac-\d+/zone-\d+ [0-9a-f-]{36}",
    "dispatch.after_record_prepare": r"prepare fac-\d+/zone-\d+ [0-9a-f-]{36}",
    "dispatch.after_take": r"fac-\d+ \d+",
    "decide.after_proposal_StartDREvent": r"StartDREvent of [0-9a-f-]{36}",
    "watch.after_call": r"\w+ [0-9a-f-]{36}",
    "dispatch.before_call_prepare": r"prepare ",
    "dispatch.before_call_restore": r"restore ",
    "dispatch.after_call_prepare": r"prepare ",
    "dispatch.after_call_commit": r"commit ",
    "dispatch.after_record_commit": r"commit ",
    "dispatch.after_record_restore": r"restore ",
    "dispatch.before_finish": r"fac-\d+ \d+",
    "decide.before_command_CommitDispatch": r"CommitDispatch",
    "decide.after_command_PrepareDispatch": r"PrepareDispatch",
    "decide.after_command_RestoreDispatch": r"RestoreDispatch",
    "decide.before_proposal_StartPreparation": r"StartPreparation of ",
    "decide.before_proposal_EndDREvent": r"EndDREvent of ",
    "watch.before_call": r"\w+ [0-9a-f-]{36}",
    "watch.after_record": r"\w+ [0-9a-f-]{36}",
}
"""Failpoint -> the work in flight."""


TOGETHER = (("dispatch.before_call_commit", "decide.after_proposal_StartDREvent"),)
"""Two kills in one run; `make chaos` has a separate run for each. Two more are in `test_killed_in_each_phase`, and
seven, with two buildings, in `test_dispatch_worker_killed`."""


def arguments(*failpoints: str) -> tuple[str, ...]:
    return (*KILLED, *(word for failpoint in failpoints for word in ("--failpoint", failpoint)))


def has_the_same_end(demos: DemoRuns, failpoints: tuple[str, ...]) -> None:
    run = demos.start(*arguments(*failpoints)).result()
    assert run.faults == [], run.said
    assert run.status == 0
    assert run.document["facilities"] == {"asked": 4, "committed": 2, "failed": 2, "restored": 2}
    assert run.document["duplicate_bms_commands"] == 0
    assert run.document["curtailed_after_end"] == 0
    were_reached(run, failpoints)


def were_reached(run: DemoRun, failpoints: tuple[str, ...]) -> None:
    """Each failpoint killed its worker, with the work in flight that belongs to it."""
    for failpoint, killed in zip(failpoints, run.document["killed"], strict=True):
        process = failpoint.partition(".")[0]
        assert re.match(rf"{process}\.\w+ {ALL[failpoint]}", killed), killed


@pytest.fixture(scope="module")
def short_runs() -> Iterator[DemoRuns]:
    runs = DemoRuns()
    for failpoints in TOGETHER:
        runs.start(*arguments(*failpoints))
    yield runs
    runs.close()


@pytest.fixture(scope="module")
def long_runs() -> Iterator[DemoRuns]:
    runs = DemoRuns()
    for failpoint in ALL:
        runs.start(*arguments(failpoint))
    yield runs
    runs.close()


@pytest.mark.parametrize("failpoints", TOGETHER, ids="+".join)
def test_workers_killed_during_work_do_not_change_the_outcome(
    short_runs: DemoRuns, failpoints: tuple[str, ...]
) -> None:
    has_the_same_end(short_runs, failpoints)


@pytest.mark.chaos
@pytest.mark.parametrize("failpoint", ALL)
def test_a_worker_killed_at_any_failpoint_does_not_change_the_outcome(
    long_runs: DemoRuns, failpoint: str
) -> None:
    has_the_same_end(long_runs, (failpoint,))
