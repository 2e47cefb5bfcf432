"""The compute workers of a simulated day: separate processes that are killed and restarted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from adapters.clock import AcceleratedClock
from domain.forecast import CYCLE, cycle_start_of
from interfaces.bootstrap import spawn_child
from interfaces.settings.settings import PREFIX, Settings
from tests.patience import ANSWER_S, END_S

FAILPOINTS = ("compute.before_issue", "compute.after_issue")
"""The failpoints of the first and the second kill."""
UNARMED = "not armed yet"
WORKER = """
import os, sys
from interfaces.bootstrap import run_worker
from interfaces.settings.settings import read_settings
from interfaces.workers.compute import forecast
forecast.LOCK = sys.argv[1]
run_worker("compute", read_settings(os.environ))
"""
LOCKS = {"forecast-1": "forecast", "forecast-2": "forecast", "rival": "another lock"}
"""The lock of each worker. `rival` uses another lock, so it is not coordinated with the others."""


@dataclass(frozen=True)
class CompletedCycle:
    """A log line of a worker that completed a cycle."""

    process: str
    at: datetime
    """By the clock."""
    cycle_start: datetime
    counts: dict[str, int]


@dataclass
class Schedulers:
    settings: Settings
    clock: AcceleratedClock
    folder: Path
    deaths: list[tuple[datetime, str]] = field(default_factory=list)
    """Time and name of each worker killed by SIGKILL."""
    last_deaths: list[datetime] = field(default_factory=list)
    """The times at which the last running worker died."""
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _wanted: int = 0
    _armed: int = 0
    _strikes: int = 0

    def __post_init__(self) -> None:
        for number in range(len(FAILPOINTS)):
            self._once_file(number).write_text(UNARMED)

    def _once_file(self, number: int) -> Path:
        return self.folder / f"struck-{number}"

    def start(self, *names: str) -> None:
        for name in names:
            with (self.folder / f"{name}.log").open("ab") as log:
                argv = [sys.executable, "-c", WORKER, LOCKS[name]]
                self._running[name] = spawn_child(argv, output=log, env=self._environment())

    def _environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        environment |= self.settings.to_environ()
        environment |= {"GRIDPROOF_LOG_JSON": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        if self._strikes < len(FAILPOINTS):
            environment["GRIDPROOF_FAILPOINT"] = FAILPOINTS[self._strikes]
            environment["GRIDPROOF_FAILPOINT_ONCE_FILE"] = str(self._once_file(self._strikes))
        return environment

    def arm(self) -> None:
        """Arm the next failpoint: it kills the worker of the next cycle. If one is armed, it waits for that one."""
        self._wanted += 1
        self._arm_next()

    def _arm_next(self) -> None:
        if self._armed < self._wanted and self._armed == self._strikes:
            self._once_file(self._armed).unlink()
            self._armed += 1

    def in_flight(self, number: int) -> str:
        """The work in progress of the worker that this failpoint killed; empty while it is armed."""
        file = self._once_file(number)
        return file.read_text().strip() if file.exists() else ""

    def supervise(self) -> None:
        """Restart killed workers. Raises AssertionError for a worker that exited by itself."""
        for name, process in list(self._running.items()):
            status = process.poll()
            if status is None:
                continue
            assert status == -signal.SIGKILL, f"{name} ended with {status}; read {self.folder}/{name}.log"
            self._record_death(name)
            if self._strikes < len(FAILPOINTS) and self.in_flight(self._strikes) not in {"", UNARMED}:
                self._strikes += 1
            self.start(name)
            self._arm_next()

    def _record_death(self, name: str) -> None:
        del self._running[name]
        self.deaths.append((self.clock.now(), name))
        if not self._running:
            self.last_deaths.append(self.clock.now())

    def kill(self, *names: str) -> None:
        """Kill the workers; they stay down until `start`."""
        for name in names:
            self._running[name].kill()
            self._running[name].wait(timeout=ANSWER_S)
            self._record_death(name)

    def running(self) -> tuple[str, ...]:
        return tuple(self._running)

    def completed_cycles(self) -> list[CompletedCycle]:
        return sorted(
            (cycle for name in LOCKS for cycle in self._cycles_in_log(name)), key=lambda cycle: cycle.at
        )

    def _cycles_in_log(self, name: str) -> Iterator[CompletedCycle]:
        path = self.folder / f"{name}.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        for line in lines:
            if '"event": "forecast cycle"' not in line:
                continue
            entry = json.loads(line)
            counts = {
                key: entry[key] for key in ("issued", "reissued", "unchanged", "kept", "conflicts", "refused")
            }
            wall = datetime.fromisoformat(entry["timestamp"])
            elapsed = (wall - self.clock.started_at) * self.clock.speed
            yield CompletedCycle(
                name, self.clock.epoch + elapsed, datetime.fromisoformat(entry["cycle_start"]), counts
            )

    def unmade(self) -> set[datetime]:
        """The cycles that no worker could make: they ended while an earlier cycle was still running, or before the
        successor of a killed worker was ready."""
        completed, unmade = self.completed_cycles(), set[datetime]()
        for one in completed:
            unmade |= _cycles(one.cycle_start + CYCLE, one.at - CYCLE)
        for died_at in self.last_deaths:
            back = next((one.cycle_start for one in completed if one.at > died_at), None)
            last = next((one.cycle_start for one in reversed(completed) if one.at < died_at), None)
            first = cycle_start_of(self.clock.epoch) if last is None else last + CYCLE
            if back is not None:
                unmade |= _cycles(first, back - CYCLE)
        return unmade

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait(timeout=END_S)


def _cycles(first: datetime, last: datetime) -> set[datetime]:
    """The starts of the cycles from `first` to `last`."""
    found = set[datetime]()
    while first <= last:
        found.add(first)
        first += CYCLE
    return found
