"""The phases of the demo's DR event, and kill -9 of a worker or server in each of them."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from adapters.clock import AcceleratedClock
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.journal import read_journal
from interfaces.simulators.world_spec import read_addresses, read_world_spec
from tests.demo_runs import DemoRun, children_of, run_demo_with_listener
from tests.patience import ANSWER_S

SERVERS = ("postgres", "nats-server", "valkey-server")
WORKERS = (
    "web",
    "decide",
    "dispatch",
    "watch",
    "project",
    "ingest",
    "aggregate",
    "archive",
    "compute",
)
PATIENCE_S = ANSWER_S
COMMITS_ARE_OVER = timedelta(minutes=10)
"""Clock time after the first commit: the late answer and all repeats are done, the window is still open."""


def _at_once(_: Path) -> bool:
    return True


def _commits_are_under_way(data_dir: Path) -> bool:
    return bool(_commits(data_dir))


def _commits_are_over(data_dir: Path) -> bool:
    clock = read_world_spec(data_dir / "world" / "spec.json").clock
    assert clock is not None, "the demo's world uses the demo's clock"
    now = AcceleratedClock(epoch=clock.epoch, started_at=clock.started_at, speed=clock.speed).now()
    return now > _commits(data_dir)[0].at + COMMITS_ARE_OVER


def _commits(data_dir: Path) -> list[JournalEntry]:
    addresses = read_addresses(data_dir / "world")
    assert addresses is not None, "the world was ready before the DR event was requested"
    return [
        entry for entry in read_journal(Path(addresses.bms_journal), JournalEntry) if entry.action == "commit"
    ]


@dataclass(frozen=True)
class Phase:
    """A phase begins after the demo has printed `said` and `there` holds."""

    name: str
    said: str
    there: Callable[[Path], bool] = _at_once


PHASES = (
    Phase("accepted", "it asks for the other"),
    Phase("preparing", "the DR event is preparing"),
    Phase("committing", "the DR event is active", _commits_are_under_way),
    Phase("active", "the DR event is active", _commits_are_over),
    Phase("recovering", "the DR event is recovering"),
)


@dataclass
class Killer:
    """Follows a demo's output and kills all processes of each phase's victim, once per phase."""

    data_dir: Path
    victims: Mapping[str, str]
    """Phase -> worker or server."""
    killed: dict[str, int] = field(default_factory=dict)
    """Phase -> number of processes killed in it."""

    def __post_init__(self) -> None:
        self._coming = deque(PHASES)

    def heard(self, demo: int, line: str) -> None:
        while self._coming and self._coming[0].said in line:
            phase = self._coming.popleft()
            _until(f"phase {phase.name}", lambda: phase.there(self.data_dir))  # noqa: B023 - called at once
            self._kill(demo, phase)

    def _kill(self, demo: int, phase: Phase) -> None:
        victim = self.victims[phase.name]
        _until(f"living {victim}", lambda: bool(children_of(demo, victim)))
        pids = children_of(demo, victim)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.killed[phase.name] = len(pids)


def run_demo_killing_in_each_phase(*arguments: str, data_dir: Path, victims: Mapping[str, str]) -> DemoRun:
    """Run the demo and kill the victim of each phase (phase -> worker or server) in that phase.

    Raises AssertionError if a phase is missing or its victim did not run.
    """
    killer = Killer(data_dir, victims)
    run = run_demo_with_listener(*arguments, data_dir=data_dir, heard=killer.heard)
    assert list(killer.killed) == [phase.name for phase in PHASES], run.said
    return run


def keeps_its_promises(run: DemoRun) -> None:
    """Check the invariants that hold for any kill at any time."""
    assert run.faults == [], run.said
    assert run.status == 0, run.said
    document, counts = run.document, run.document["facilities"]
    assert document["status"] == "completed"
    assert document["settlement_status"] == "settled"
    assert document["duplicate_bms_commands"] == 0
    assert document["curtailed_after_end"] == 0
    assert document["ledger"]["verified"] is True
    assert counts["asked"] == counts["committed"] + counts["failed"]
    assert counts["restored"] == counts["committed"]


def _until(what: str, there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not there():
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE_S:g} s"
        time.sleep(0.02)
