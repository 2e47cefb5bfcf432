"""The game day: the demo and a second system beside it, their cases, and the table of the figures."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from itertools import groupby
from pathlib import Path

import pytest

from interfaces.bootstrap import Stores, open_stores, resolve_addresses
from interfaces.settings.settings import read_settings
from tests.gameday.all_cases import CASES
from tests.gameday.drill import Drill, Figures, Outcome
from tests.gameday.registry import SECOND, Case
from tests.gameday.second_system import drill_on, second_system
from tests.running_demo import RunningDemo, running_demo

AT_ONCE = 12
"""Cases of one round: they mostly wait."""
_figures: Figures = {}


@pytest.fixture(scope="session")
def game_day() -> Iterator[Figures]:
    """Alert -> when it was raised and ended, or why its case failed."""
    with (
        tempfile.TemporaryDirectory(prefix="gp-day-", ignore_cleanup_errors=True) as folder,
        running_demo(Path(folder), "--facilities", "5", "--speed", "60") as demo,
        ThreadPoolExecutor(1, "second system") as beside,
    ):
        second = beside.submit(_run_second)
        _run(demo)
        second.result()
        yield _figures


def _prepare(demo: RunningDemo, stores: Stores) -> None:
    """Let facilities serve often, and end the alerts of the demo's own DR event, which would not be raised anew."""
    first = Drill(demo, stores, Case("demo", (), 0, lambda _: None))
    portfolio = json.loads((demo.folder / "world" / "portfolio.json").read_text())
    for facility in portfolio["facilities"]:
        facility |= {"dr_events_per_day": 1_000, "dr_events_per_season": 10_000}
    first.portfolio.write_text(json.dumps(portfolio))
    first.gridproof("facilities", "import", str(first.portfolio))
    for letter in first.letters("bms_command", ""):
        first.gridproof("dead-letters", "discard", letter, "--reason", "left by the demo")
    for alert in stores.alerts().listed():
        first.gridproof(
            "alerts", "clear", str(alert.alert_id), "--reason", "left by the demo", statuses=(0, 1)
        )


def _run(demo: RunningDemo) -> None:
    settings = resolve_addresses(read_settings({"GRIDPROOF_DATA_DIR": str(demo.folder)}))
    by_round = sorted((one for one in CASES.values() if one.round != SECOND), key=lambda one: one.round)
    with closing(open_stores(settings, pool_size=AT_ONCE)) as stores, ThreadPoolExecutor(AT_ONCE) as pool:
        _prepare(demo, stores)
        for _, cases in groupby(by_round, key=lambda one: one.round):
            drills = [Drill(demo, stores, one) for one in cases]
            running = {pool.submit(_finish, drill): drill for drill in drills}
            for done in as_completed(running):
                _note(running[done], done.exception())


def _run_second() -> None:
    """After a case that failed the others are tried as well; a system that does not start fails them all."""
    waiting = [one for one in CASES.values() if one.round == SECOND]
    try:
        with second_system() as system:
            while waiting:
                with drill_on(system, waiting[0]) as drill:
                    error: BaseException | None = None
                    try:
                        _finish(drill)
                    except Exception as failure:  # noqa: BLE001 - the test of its alert raises it
                        error = failure
                    _note(drill, error)
                waiting.pop(0)
    except Exception as failure:  # noqa: BLE001 - the same
        _figures.update((alert, failure) for one in waiting for alert in one.alerts)


def _note(drill: Drill, error: BaseException | None) -> None:
    _figures.update((alert, outcome if error is None else error) for alert, outcome in drill.outcomes.items())


def _finish(drill: Drill) -> None:
    drill.begin()
    drill.case.act(drill)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _figures:
        return
    terminalreporter.write_line(
        f"{'alert':32} {'fired after s':>13} {'ended after s':>13}  ended by   commands"
    )
    for alert, outcome in sorted(_figures.items()):
        if isinstance(outcome, Outcome):
            fired, ended = outcome.fired_s or 0.0, outcome.ended_s or 0.0
            text = (
                f"{fired:13.1f} {ended:13.1f}  {outcome.how:10} {', '.join(dict.fromkeys(outcome.commands))}"
            )
        else:
            text = f"failed: {outcome}".partition("\n")[0]
        terminalreporter.write_line(f"{alert:32} {text}")
