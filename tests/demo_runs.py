"""Runs of the real demo as a child process, a few side by side: a run waits more than it works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIDE_BY_SIDE = 3
LONGEST_S = 240.0
SMALL = ("--facilities", "5", "--speed", "120")


@dataclass(frozen=True)
class DemoRun:
    """How a run ended: its exit status, its JSON document, and what it said to a person."""

    status: int
    document: dict[str, Any]
    said: str

    @property
    def faults(self) -> list[str]:
        return list(self.document["faults"])


class DemoRuns:
    """Starts runs ahead of the tests that ask for them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        self._runs: dict[tuple[str, ...], Future[DemoRun]] = {}

    def start(self, *arguments: str) -> Future[DemoRun]:
        """The run with these arguments, begun now if it was not before."""
        if arguments not in self._runs:
            self._runs[arguments] = self._pool.submit(run_demo, *arguments)
        return self._runs[arguments]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def run_demo(*arguments: str) -> DemoRun:
    """`gridproof demo --json ARGUMENTS`, to its end."""
    return _ended(_started(*arguments), said="")


def run_demo_killing(server: str, *arguments: str, data_dir: Path, when: str) -> DemoRun:
    """The same, and kill -9 of `server` (postgres, nats-server, valkey-server) once the demo says `when`."""
    demo = _started(*arguments, "--data-dir", str(data_dir))
    said = ""
    for line in demo.stderr or ():
        said += line
        if when in line:
            os.kill(server_of(data_dir, server), signal.SIGKILL)
            break
    return _ended(demo, said=said)


def server_of(data_dir: Path, program: str) -> int:
    """The pid of the embedded server that works in that data folder: its first process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                told = f"{(entry / 'cwd').readlink()} {(entry / 'cmdline').read_bytes().decode(errors='replace')}"
                if (entry / "comm").read_text().strip() == program and str(data_dir) in told:
                    found.append(int(entry.name))
    return min(found)


def _started(*arguments: str) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "interfaces.cli", "demo", "--json", *arguments],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ended(demo: subprocess.Popen[str], *, said: str) -> DemoRun:
    try:
        out, more = demo.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        demo.kill()
        out, more = demo.communicate()
    document = json.loads(out) if out.strip() else {"faults": [f"no document: {said}{more}"]}
    return DemoRun(demo.returncode, document, said + more)
