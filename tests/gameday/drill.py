"""Drill: one game-day case on the running system; notes when its alerts were raised and when they ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import psycopg

from application.ports.operations.alerts import Alert
from application.ports.operations.unavailable import OperationsUnavailable
from interfaces.bootstrap import Stores
from interfaces.simulators.sample_portfolio import PROGRAM_ID
from interfaces.simulators.world_spec import WorldSpec, read_addresses, read_world_spec
from tests.chaos.small_system import SmallSystem
from tests.demo_runs import ROOT
from tests.frozen_process import freeze
from tests.gameday.registry import Case
from tests.gameday.runbook import commands_of, words_of
from tests.running_demo import RunningDemo

Found = TypeVar("Found")
WITHIN_S = 300.0
COMMAND_WITHIN_S = 300.0
QUARTER = timedelta(minutes=15)
NOTICE = timedelta(minutes=16)
"""Clock time from a request to its window: the program's ten minutes, and some for a busy machine."""
WINDOW = timedelta(minutes=15)
BY_RULE, BY_HAND = "its rule", "a person"
LOOK, DO = "What to look at", "What to do"
STATUSES = {("doctor",): (0, 3), ("audit", "verify"): (0, 3)}
"""Of commands that may say that something is wrong: that is what they are run for."""


@dataclass
class Outcome:
    """Wall seconds from the cause to the alert, and from what was done against it to its end."""

    fired_s: float | None = None
    ended_s: float | None = None
    how: str = BY_RULE
    commands: list[str] = field(default_factory=list)


Figures = dict[str, Outcome | BaseException]
"""By alert; an error is why its case failed."""


@dataclass
class Drill:
    demo: RunningDemo
    stores: Stores
    case: Case
    second: SmallSystem | None = None
    """The second system, if the case runs on that one; then `demo` has no more of it than its folder and its clock."""
    began: datetime = field(init=False)
    """When the cause was set, by the demo's clock; `undone` likewise."""
    undone: datetime = field(init=False)
    outcomes: dict[str, Outcome] = field(init=False)

    def __post_init__(self) -> None:
        self.begin()
        self.outcomes = {alert: Outcome() for alert in self.case.alerts}

    def begin(self) -> None:
        """What is raised from now on counts."""
        self.began = self.undone = self.demo.clock.now()

    # ------------------------------------------------------------------------------------------------ alerts

    def fires(self, alert: str, subject: str = "", meanwhile: Callable[[], object] = lambda: None) -> Alert:
        """Wait until an alert whose subject begins with `subject` was raised after the cause; `meanwhile` is called
        again and again until then."""

        def raised_row() -> Alert | None:
            meanwhile()
            return self._raised(alert, subject)

        found = self.until(raised_row, f"{alert} of {subject or 'any'} is raised")
        self._note(self.outcomes[alert], fired_s=self._wall_s(found.raised_at - self.began))
        return found

    def ends(self, alert: Alert, how: str = BY_RULE, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until this very alert has ended; `meanwhile` is called again and again until then."""

        def ended_row() -> Alert | None:
            meanwhile()
            return self._cleared(alert.alert_id)

        row = self.until(ended_row, f"{alert.name} of {alert.subject} ends")
        assert row.cleared_at is not None
        assert (row.cleared_by is None) == (how == BY_RULE), f"{alert.name} was ended by {row.cleared_by}"
        ended, outcome = row.cleared_at, self.outcomes[alert.name]
        outcome.how = how
        self._note(outcome, ended_s=max(0.0, self._wall_s(ended - self.undone)))

    def undo(self, action: Callable[[], object] | None = None) -> None:
        """Take the cause away; the seconds until the end count from here."""
        if action is not None:
            action()
        self.undone = self.demo.clock.now()

    def is_open(self, alert: str) -> bool:
        return any(row.name == alert and row.cleared_at is None for row in self._alerts())

    def _raised(self, alert: str, subject: str) -> Alert | None:
        rows = [row for row in self._alerts() if row.name == alert and row.subject.startswith(subject)]
        return next((row for row in rows if row.raised_at >= self.began), None)

    def _cleared(self, alert_id: int) -> Alert | None:
        rows = [row for row in self._alerts() if row.alert_id == alert_id]
        return next((row for row in rows if row.cleared_at is not None), None)

    def _alerts(self) -> list[Alert]:
        try:
            return self.stores.alerts().listed(include_cleared=True, limit=1_000)
        except OperationsUnavailable:
            return []

    def _note(self, outcome: Outcome, **seconds: float) -> None:
        """The longest of several alerts of one name counts."""
        for name, value in seconds.items():
            setattr(outcome, name, max(value, getattr(outcome, name) or 0.0))

    def _wall_s(self, on_the_clock: timedelta) -> float:
        return self.demo.clock.wall_seconds(on_the_clock.total_seconds())

    # ---------------------------------------------------------------------------------------------- commands

    def look_at(self, alert: str, **values: str) -> None:
        """Run each complete command of the runbook's section "What to look at"."""
        for command in commands_of(alert, LOOK):
            self._run(alert, command, values)

    def do(self, alert: str, command: str, **values: str) -> str:
        """Run a command that the runbook names under "What to do"; returns what it printed."""
        assert command in commands_of(alert, DO), f"the runbook of {alert} does not say {command}"
        return self._run(alert, command, values)

    def _run(self, alert: str, command: str, values: Mapping[str, str]) -> str:
        words = words_of(command, values)
        self.outcomes[alert].commands.append(command)
        statuses = STATUSES.get(tuple(words[:2]), STATUSES.get(tuple(words[:1]), (0,)))
        return self.gridproof(*words, statuses=statuses)

    def gridproof(self, *words: str, statuses: tuple[int, ...] = (0,)) -> str:
        """Run `gridproof WORDS` as a person at this machine does; returns its standard output."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
        done = subprocess.run(
            [sys.executable, "-m", "interfaces.cli", *words],
            cwd=ROOT,
            env=environ | {"GRIDPROOF_DATA_DIR": str(self.demo.folder), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN_S,
            check=False,
        )
        said = f"gridproof {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode in statuses, said
        assert "Traceback" not in done.stderr, said
        return done.stdout

    def letters(self, queue: str, subject: str) -> list[str]:
        """The ids of open dead letters whose subject begins with `subject`."""
        listed = json.loads(self.gridproof("dead-letters", "list", "--queue", queue, "--json"))
        return [
            str(row["dead_letter_id"])
            for row in listed["dead_letters"]
            if row["status"] == "open" and row["subject"].startswith(subject)
        ]

    # ---------------------------------------------------------------------------------------------- outside

    @cached_property
    def world(self) -> WorldSpec:
        return read_world_spec(self.demo.folder / "world" / "spec.json")

    def cancel(self, dr_event_id: str) -> None:
        """Leave no DR event of the case under way. One that is over cannot be cancelled."""
        self.gridproof("dr-events", "cancel", dr_event_id, "--reason", "a game day", statuses=(0, 1))

    @property
    def portfolio(self) -> Path:
        """The file that was imported last."""
        return self.demo.folder / "portfolio.json"

    @contextmanager
    def frozen_world(self) -> Iterator[None]:
        """The buildings, meters, weather service and utility, which are one process, stand still during the block."""
        addresses = read_addresses(self.demo.folder / "world")
        assert addresses is not None
        freeze(addresses.pid)
        try:
            yield
        finally:
            os.kill(addresses.pid, signal.SIGCONT)

    def bms(self, path: str, order: object) -> None:
        """Change a building from outside: `fac-001/faults`, `fac-001/zones/zone-1/setpoint`."""
        addresses = read_addresses(self.demo.folder / "world")
        assert addresses is not None
        answer = httpx.put(f"{addresses.bms_url}/buildings/{path}", json=order, timeout=WITHIN_S)
        assert answer.status_code == 204, answer.text

    @contextmanager
    def bms_faults(self, facility_id: str, *faults: Mapping[str, str]) -> Iterator[None]:
        """The building has these faults during the block, and none after it."""
        self.bms(f"{facility_id}/faults", faults)
        try:
            yield
        finally:
            self.bms(f"{facility_id}/faults", [])

    def request(self, *facility_ids: str, callback_url: str | None = None, ahead: timedelta = NOTICE) -> str:
        """Have the utility ask for the facilities, by default as soon as it may; returns the DR event's id."""
        event_id = f"{self.case.name}-{uuid4().hex[:6]}"
        earliest = self.demo.clock.now() + ahead
        starts_at = datetime.fromtimestamp(
            (earliest.timestamp() // QUARTER.total_seconds() + 1) * QUARTER.total_seconds(), earliest.tzinfo
        )
        body = {
            "notification_id": f"n-{event_id}",
            "event_id": event_id,
            "modification_number": 0,
            "program": PROGRAM_ID,
            "starts_at": starts_at.isoformat(),
            "ends_at": (starts_at + WINDOW).isoformat(),
            "target_reduction_kw": 5.0 * len(facility_ids),
            "facility_ids": list(facility_ids),
            "priority": 1,
        } | ({} if callback_url is None else {"callback_url": callback_url})

        def answered() -> httpx.Response | None:
            """None: too many requests, or another case has killed the process. A repeat is recognized."""
            try:
                answer = self.demo.post_notification(body)
            except httpx.TransportError:
                return None
            return None if answer.status_code == httpx.codes.TOO_MANY_REQUESTS else answer

        answer = self.until(answered, "the request is answered")
        assert answer.status_code == 202, answer.text
        return str(answer.json()["dr_event_id"])

    def address(self, name: str) -> str:
        """Of a server of the running system, such as `NATS_URL`."""
        addresses = json.loads((self.demo.folder / "addresses.json").read_text())
        return str(addresses[f"GRIDPROOF_{name}"])

    def as_owner(self, statement: str, *values: object) -> list[Any]:
        """Run SQL as the database's owner, as somebody with all rights could."""
        with psycopg.connect(self.address("MIGRATION_DATABASE_URL")) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def until(self, found: Callable[[], Found | None], what: str) -> Found:
        deadline = time.monotonic() + WITHIN_S
        while not (result := found()):
            assert time.monotonic() < deadline, f"{self.case.name}: not within {WITHIN_S:g} s: {what}"
            time.sleep(0.5)
        return result
