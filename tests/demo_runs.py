"""Runs of the real demo as a child process, a few side by side: a run waits more than it works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
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
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
    ended = subprocess.run(
        [sys.executable, "-m", "interfaces.cli", "demo", "--json", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    document = (
        json.loads(ended.stdout) if ended.stdout.strip() else {"faults": [f"no document: {ended.stderr}"]}
    )
    return DemoRun(ended.returncode, document, ended.stderr)
