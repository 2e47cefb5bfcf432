"""kill -9 of every worker and every server in each phase of a DR event, on real servers: always the same result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.phases import (
    PHASES,
    SERVERS,
    WORKERS,
    keeps_its_promises,
    run_demo_killing_in_each_phase,
)
from tests.chaos.test_killed_workers import were_reached
from tests.demo_runs import DemoRun

FAILPOINTS = ("watch.after_call", "dispatch.after_record_prepare")
"""None in the commit phase, which has a deadline."""
SHORT = ("--facilities", "8", "--speed", "30", *(word for one in FAILPOINTS for word in ("--failpoint", one)))
LONG = ("--facilities", "50", "--speed", "30")
"""A slow clock, as of `KILLED`. With 50 buildings also because a call has 30 seconds of the clock."""
ANOTHER_IN_EACH = {
    "accepted": "valkey-server",
    "preparing": "decide",
    "committing": "nats-server",
    "active": "postgres",
    "recovering": "dispatch",
}
"""Kills both dispatch workers only in phases without a deadline: on a busy machine their restart exceeds a commit's."""
LONG_SIDE_BY_SIDE = max(1, (os.cpu_count() or 2) // 2)


def test_killing_another_process_in_each_phase_does_not_change_the_outcome(tmp_path: Path) -> None:
    run = run_demo_killing_in_each_phase(*SHORT, data_dir=tmp_path / "data", victims=ANOTHER_IN_EACH)
    keeps_its_promises(run)
    assert run.document["facilities"] == {"asked": 7, "committed": 5, "failed": 2, "restored": 5}
    were_reached(run, FAILPOINTS)


@pytest.fixture(scope="module")
def long_runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[DemoRun]]]:
    """The runs of the selected tests, started ahead of them: victim -> its run."""
    selected = [
        str(item.callspec.params["victim"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    ]
    pool = ThreadPoolExecutor(LONG_SIDE_BY_SIDE)
    yield {
        victim: pool.submit(
            run_demo_killing_in_each_phase,
            *LONG,
            data_dir=tmp_path_factory.mktemp(victim) / "data",
            victims={phase.name: victim for phase in PHASES},
        )
        for victim in selected
    }
    pool.shutdown(cancel_futures=True)


@pytest.mark.chaos
@pytest.mark.parametrize("victim", [*WORKERS, *SERVERS])
def test_killing_one_process_in_every_phase_does_not_change_the_outcome(
    long_runs: dict[str, Future[DemoRun]], victim: str
) -> None:
    run = long_runs[victim].result()
    keeps_its_promises(run)
    assert run.document["facilities"] == {"asked": 49, "committed": 47, "failed": 2, "restored": 47}
