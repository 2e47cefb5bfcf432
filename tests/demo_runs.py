"""Runs of the real demo as a child process, a few at a time, since a run mostly waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

from tests.patience import PLACES, RUN_S, whole_system

ROOT = Path(__file__).resolve().parent.parent
GRIDPROOF = ("interfaces.cli", "demo")
PLANTED = ("tests.planted_demo",)
SMALL = ("--facilities", "5", "--speed", "60")
"""After 30 minutes of the clock a forecast is stale: faster, these are fewer seconds than a busy machine needs."""
KILLED = ("--facilities", "5", "--speed", "30")
"""For runs with kills: on a busy machine PostgreSQL is down for 12 s, and the clock goes on. A commit has 15 minutes of
it, and 30 after the window a BMS restores the zones that no command has restored."""


@dataclass(frozen=True)
class DemoRun:
    """The result of a run: its exit status, its JSON document, and its messages."""

    status: int
    document: dict[str, Any]
    said: str

    @property
    def faults(self) -> list[str]:
        return list(self.document["faults"])


class DemoRuns:
    """Starts runs before the tests that use them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(PLACES)
        self._runs: dict[tuple[str, ...], Future[DemoRun]] = {}

    def start(self, *arguments: str, settings: Mapping[str, str] | None = None) -> Future[DemoRun]:
        """The run with these arguments; the first call starts it, with `settings`."""
        if arguments not in self._runs:
            self._runs[arguments] = self._pool.submit(run_demo, *arguments, settings=settings)
        return self._runs[arguments]

    def start_planted(self, *arguments: str) -> Future[DemoRun]:
        """The same for a run with planted faults."""
        if arguments not in self._runs:
            self._runs[arguments] = self._pool.submit(run_planted_demo, *arguments)
        return self._runs[arguments]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def run_demo(*arguments: str, settings: Mapping[str, str] | None = None) -> DemoRun:
    """Run `gridproof demo --json ARGUMENTS` to its end."""
    with whole_system():
        return _finished(_started(*arguments, settings=settings))


def run_planted_demo(*arguments: str) -> DemoRun:
    """Run `python -m tests.planted_demo --json ARGUMENTS` to its end."""
    with whole_system():
        return _finished(_started(*arguments, command=PLANTED))


def _finished(demo: subprocess.Popen[str]) -> DemoRun:
    try:
        out, said = demo.communicate(timeout=RUN_S)
    except subprocess.TimeoutExpired:
        demo.kill()
        out, said = demo.communicate()
    return _run_of(demo.returncode, out, said)


def run_demo_killing(*arguments: str, data_dir: Path, when: Mapping[str, str]) -> DemoRun:
    """The same with kill -9 of each server (postgres, nats-server, valkey-server) once its line of `when` appears."""
    waiting = dict(when)

    def heard(demo: int, line: str) -> None:
        for server in [server for server, said in waiting.items() if said in line]:
            os.kill(children_of(demo, server)[0], signal.SIGKILL)
            del waiting[server]

    run = run_demo_with_listener(*arguments, data_dir=data_dir, heard=heard)
    assert not waiting, run.said
    return run


def run_demo_with_listener(
    *arguments: str,
    data_dir: Path,
    heard: Callable[[int, str], None],
    longest_s: float = RUN_S,
    settings: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> DemoRun:
    """The same in `data_dir`; `heard(pid of the demo, line)` is called for each line as it is printed. `prefix` are
    words before the command, which put it elsewhere."""
    with whole_system():
        demo = _started(*arguments, "--data-dir", str(data_dir), settings=settings, prefix=prefix)
        assert demo.stdout is not None
        assert demo.stderr is not None
        patience = Timer(longest_s, demo.kill)
        patience.start()
        said = ""
        try:
            # Both pipes are read concurrently, since a full one would block the demo.
            with ThreadPoolExecutor(1) as pool:
                out = pool.submit(demo.stdout.read)
                try:
                    for line in demo.stderr:
                        said += line
                        heard(demo.pid, line)
                except BaseException:
                    demo.kill()
                    raise
                return _run_of(demo.wait(), out.result(), said)
        finally:
            patience.cancel()
            demo.stdout.close()
            demo.stderr.close()


def children_of(demo: int, name: str) -> list[int]:
    """The pids of a demo's own children that are the worker or the server `name`; [] while there is none.

    Of a server it is the first process: PostgreSQL's other processes are its children.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
                if (
                    parent == str(demo)
                    and state != "Z"
                    and (argv[-2:] == ["worker", name] or _runs(entry, name))
                ):
                    found.append(int(entry.name))
    return found


def _runs(process: Path, program: str) -> bool:
    return (process / "comm").read_text().strip() == program


def _started(
    *arguments: str,
    command: Sequence[str] = GRIDPROOF,
    settings: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    environ |= settings or {}
    return subprocess.Popen(
        [*prefix, sys.executable, "-u", "-m", *command, "--json", *arguments],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run_of(status: int, out: str, said: str) -> DemoRun:
    document = json.loads(out) if out.strip() else {"faults": [f"no document: {said}"]}
    return DemoRun(status, document, said)
