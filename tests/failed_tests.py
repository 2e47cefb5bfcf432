"""The failed tests of a run: which they are, and each of them again, alone, to tell broken from unsteady tests.

As a plugin of pytest (`-p tests.failed_tests --record-failed FOLDER`) this module writes two files:

- `failed.txt`: the ids of the failed tests, one a line, as `pytest @build/failed.txt` takes them;
- `failed.json`: how the run ended, and the first line of each failure.

As a command (`make again`, the end of `.ci/test`) it runs each of these tests twice, each time in a session of its own
with nothing beside it. A test that passes both times is unsteady.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

MOST_UNSTEADY = 5
MOST_TRIED = 20
TIMES = 2
LONGEST_S = 1_200.0
LONGEST_LINE = 300
IDS, RECORD = "failed.txt", "failed.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-failed", metavar="FOLDER", type=Path, help="write the failed tests into it")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--record-failed")
    if folder is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(folder))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return CrashProof(config, log) if config.getoption("dist") == "loadfile" else None


class CrashProof(LoadFileScheduling):  # type: ignore[misc]
    """Goes on after a worker has crashed, and does not run the test again during which it did."""

    def remove_node(self, node: WorkerController) -> str | None:
        """The test during which the worker crashed, if any."""
        units = self.assigned_work[node].values()
        crashed: str | None = next((test for unit in units for test, done in unit.items() if not done), None)
        for unit in units:
            if crashed in unit:
                unit[crashed] = True
        super().remove_node(node)
        return crashed

    def _reschedule(self, node: WorkerController) -> None:
        # A worker begins a test once it knows the next one. What a crashed worker leaves may be a single test, or none.
        super()._reschedule(node)
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)


class Recorder:
    """Collects failures where pytest prints them: in the one process that all workers of a run report to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tests: dict[str, str] = {}
        self._files: dict[str, str] = {}
        for name in (IDS, RECORD):
            (folder / name).unlink(missing_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Setup, call and teardown; xdist reports the test during which a worker crashed like these.
        if report.failed:
            self._tests.setdefault(report.nodeid, first_line(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._files.setdefault(report.nodeid, first_line(report))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / IDS).write_text("".join(f"{test}\n" for test in self._tests))
        record = {"exit_status": int(exitstatus), "tests": self._tests, "files": self._files}
        (self._folder / RECORD).write_text(json.dumps(record, indent=1))


def first_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The message of the exception where there is one, else how the report begins."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return next((line.strip()[:LONGEST_LINE] for line in text.splitlines() if line.strip()), "no message")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Tried(NamedTuple):
    """A failed test that was run again alone; `output` of the first time that it failed."""

    test: str
    seconds: float
    output: str | None


def run_again(test: str) -> Tried:
    """Run it TIMES times, until it fails."""
    # Nothing of a run around this one, such as the name of its worker.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    began = time.monotonic()
    for _ in range(TIMES):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
        try:
            outcome = subprocess.run(
                command,
                env=environ,
                timeout=LONGEST_S,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            output = (error.stdout or b"").decode(errors="replace")
            return Tried(test, time.monotonic() - began, f"{output}\nnot ended after {LONGEST_S:g} s")
        if outcome.returncode != pytest.ExitCode.OK:
            return Tried(test, time.monotonic() - began, outcome.stdout)
    return Tried(test, (time.monotonic() - began) / TIMES, None)


def why_not_tried(record: Path) -> str | None:
    """Why the run failed whatever its tests do alone; None if failed tests are all that is wrong."""
    if not record.exists():
        return "the run did not end: its process died, or never began"
    run = json.loads(record.read_text())
    if run["exit_status"] == pytest.ExitCode.OK:
        return "no test failed, so none is run again"
    if run["files"]:
        return f"not collected: {', '.join(run['files'])}"
    if run["exit_status"] != pytest.ExitCode.TESTS_FAILED or not run["tests"]:
        return f"the run ended with {pytest.ExitCode(run['exit_status'])!r}, not with failed tests"
    if len(run["tests"]) > MOST_TRIED:
        return f"{len(run['tests'])} tests failed: more than {MOST_TRIED} are not run again"
    return None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.failed_tests", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build"), help="that of --record-failed")
    folder = parser.parse_args(arguments).folder
    why = why_not_tried(folder / RECORD)
    if why is not None:
        say(f"broken: {why}")
        return 1
    said = json.loads((folder / RECORD).read_text())["tests"]
    tried = []
    for test in said:
        say(f"again, alone: {test}")
        tried.append(run_again(test))
        if tried[-1].output is not None:
            say(tried[-1].output)
    return conclude(tried, said)


def conclude(tried: list[Tried], said: dict[str, str]) -> int:
    """Print both tables; 0 if no test is broken and few are unsteady."""
    broken = [one for one in tried if one.output is not None]
    unsteady = [one for one in tried if one.output is None]
    for title, tests in (("broken (failed again, alone)", broken), ("unsteady (alone it passed)", unsteady)):
        if tests:
            say(f"\n{title}: {len(tests)}")
            for test, seconds, _ in tests:
                say(f"  {test}\n      {said[test]}\n      alone {seconds:.1f} s")
    if len(unsteady) > MOST_UNSTEADY:
        say(f"\nmore than {MOST_UNSTEADY} unsteady tests: the check fails")
    return int(bool(broken) or len(unsteady) > MOST_UNSTEADY)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
