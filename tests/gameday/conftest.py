"""The game day: one system for all cases, and the table of its figures."""

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
from tests.gameday.registry import Case
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
    ):
        _run(demo)
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
    by_round = sorted(CASES.values(), key=lambda one: one.round)
    with closing(open_stores(settings, pool_size=AT_ONCE)) as stores, ThreadPoolExecutor(AT_ONCE) as pool:
        _prepare(demo, stores)
        for _, cases in groupby(by_round, key=lambda one: one.round):
            drills = [Drill(demo, stores, one) for one in cases]
            running = {pool.submit(_finish, drill): drill for drill in drills}
            for done in as_completed(running):
                error, drill = done.exception(), running[done]
                _figures.update(
                    (alert, outcome if error is None else error) for alert, outcome in drill.outcomes.items()
                )


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
