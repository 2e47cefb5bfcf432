"""An import of history and its take-back are killed after each of their steps: the same command again does the rest,
nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cli import test_imports
from tests.acceptance.cli.terminal import Terminal
from tests.acceptance.cli.test_imports import ROWS, Readers, written
from tests.patience import START_S

terminal, readers = test_imports.terminal, test_imports.readers
ROOT = Path(__file__).parents[3]
FACILITIES = ["fac-001", "fac-002"]
TELEMETRY = "adapters.postgres.telemetry"
IMPORTS = f"{TELEMETRY}.imported_history:PostgresImportedHistory"
ACT = "adapters.postgres.operations.act_log:PostgresActLog.record"
SEAL = "application.telemetry.sealing.history_sealer:HistorySealer.seal"


def killed(terminal: Terminal, place: str, *arguments: object) -> None:
    command = [sys.executable, "-m", "tests.acceptance.cli.killed_command", place, *map(str, arguments)]
    done = subprocess.run(
        command,
        env=os.environ | terminal.environ,
        cwd=ROOT,
        check=False,
        capture_output=True,
        timeout=START_S,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2_000:]


def listed(terminal: Terminal) -> list[Any]:
    imports: list[Any] = terminal.document("telemetry", "imports", "list")["imports"]
    return imports


def values(readers: Readers) -> list[list[float]]:
    return [readers.values(one) for one in FACILITIES]


@pytest.mark.parametrize(
    "place",
    [
        ACT,
        f"{IMPORTS}.begin",
        f"{TELEMETRY}.store:put_imported",  # within the transaction of the rows
        f"{TELEMETRY}.store:PostgresTelemetryStore.import_intervals",
        f"{IMPORTS}.complete",
        SEAL,
    ],
)
def test_an_import_that_is_killed_is_completed_by_the_same_command(
    terminal: Terminal, readers: Readers, place: str
) -> None:
    file = written(terminal.folder / "history.csv", FACILITIES, kwh=5.0)
    killed(terminal, place, "telemetry", "import", file)

    report = terminal.document("telemetry", "import", file)
    assert report["rows"] == report["added"] + report["unchanged"] == 2 * ROWS
    assert values(readers) == [[20.0] * ROWS] * 2
    newest, *interrupted = listed(terminal)
    assert newest["state"] == "complete"
    assert len(interrupted) <= 1
    # Whatever the interrupted one stored goes with it, and with the other one the rest: each quarter-hour once.
    for one in (*interrupted, newest):
        terminal.document("telemetry", "imports", "take-back", one["import_id"], "--reason", "a test")
    assert values(readers) == [[], []]
    assert readers.corrections() == 2 * ROWS


@pytest.mark.parametrize(
    "place",
    [
        ACT,
        f"{IMPORTS}.mark_taken_back",
        f"{TELEMETRY}.imported_history:remove_layer",  # within the transaction of a layer
        f"{IMPORTS}._remove_part",
        f"{IMPORTS}.remove_rows",
        SEAL,
        f"{IMPORTS}.finish",
    ],
)
def test_a_take_back_that_is_killed_is_completed_by_the_same_command(
    terminal: Terminal, readers: Readers, place: str
) -> None:
    file = written(terminal.folder / "history.csv", FACILITIES, kwh=5.0)
    terminal.document("telemetry", "import", file)
    [one] = listed(terminal)
    take_back = ("telemetry", "imports", "take-back", one["import_id"], "--reason", "of another year")
    killed(terminal, place, *take_back)

    terminal.document(*take_back)
    assert values(readers) == [[], []]
    assert readers.corrections() == 2 * ROWS, "one for each quarter-hour"
    [one] = listed(terminal)
    assert (one["state"], one["facilities_left"]) == ("taken back", 0)
    acts = [act["what"] for act in terminal.document("audit", "administration")["acts"]]
    assert len([what for what in acts if "of history taken back" in what]) == 1

    again = terminal.document("telemetry", "import", file)
    assert (again["added"], values(readers)) == (2 * ROWS, [[20.0] * ROWS] * 2)
    assert readers.corrections() == 4 * ROWS, "what is in its place is a correction as well"
