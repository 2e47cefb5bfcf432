"""A small real system: PostgreSQL, NATS, two buildings over SOAP, and the processes decide, dispatch and project.

The test replaces web: it submits a DR event, and triggers its times before they are due. Killed processes are
restarted, as a supervisor does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from uuid import UUID, uuid4

from litestar.types import ASGIApp

from adapters.clock import AcceleratedClock
from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.command_bus.bus import CommandBus
from application.commands.dispatch import RestoreDispatch
from application.commands.dr_event import EndDREvent, JudgeNotification, StartDREvent, StartPreparation
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.event_store.demand_response import DemandResponse
from application.event_store.forecasts import Forecasts
from application.facility.portfolio_entries import BmsEntry, BmsProfile, FacilityEntry
from application.handlers import HANDLERS
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent, DREventState
from domain.identifiers import dispatch_id
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.bms.server import BmsServer, create_bms_app
from interfaces.simulators.http_host import hosted
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.patience import END_S, START_S
from tests.planted_faults import Fault
from tests.sample_values import (
    CONTEXT,
    NOW,
    PROGRAM,
    UTILITY,
    facility_entry,
    forecast,
    notice,
    program_entry,
)
from tests.servers import Database

ROOT = Path(__file__).parents[2]
SPEED = 30.0
"""At this speed the 30 s time-out of a silent worker is 1.5 s of wall time, and two hours of lead time are minutes."""
PATIENCE_S = START_S
PROFILES: tuple[BmsProfile, ...] = ("two_phase", "two_phase_no_dedup")


class TookTooLong(AssertionError):
    """The awaited condition did not hold in time."""


@dataclass
class SmallSystem:
    database: Database
    nats_url: str
    folder: Path
    failpoint: str
    """A failpoint such as `dispatch.before_call`: that process is killed there once. Empty: no kill."""
    planted_fault: Fault | None = None
    window: tuple[datetime, datetime] | None = None
    """Of the DR event; None: a later one, whose times the test triggers."""
    is_traced: bool = False
    """Each process writes the calls between files of the product into `<name>.calls`."""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    journal: list[JournalEntry] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    """The processes that were killed by SIGKILL and restarted."""

    def __post_init__(self) -> None:
        # Queues outlive a test, so the facilities and DR events of each run have unique names.
        self.run = uuid4().hex[:8]
        self.facility_ids = tuple(f"fac-{self.run}-{number}" for number in (1, 2))
        self.clock = AcceleratedClock(epoch=NOW, started_at=self.started_at, speed=SPEED)
        self.driver_clock = FakeClock(NOW)
        self.events = PostgresEventStore(DemandResponse, for_failover(self.database.app_dsn))
        self.bus = CommandBus(self.events, self.driver_clock, HANDLERS, forecasts=FakeForecastBook())
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.dr_event_id = UUID(int=0)

    @property
    def once_file(self) -> Path:
        return self.folder / "struck"

    @property
    def dr_event(self) -> DREventState:
        return self.events.load(DREvent, self.dr_event_id).state

    def dispatches(self) -> list[DispatchState]:
        return [
            self.events.load(Dispatch, dispatch_id(self.dr_event_id, facility_id)).state
            for facility_id in self.facility_ids
        ]

    def accept(self, bms_url: str) -> None:
        """Register both facilities, store their forecasts and submit the DR event."""
        self.bus.handle(
            AgreeProgram(entry=program_entry(prepare_lead_s=7200, forecast_guardrail="warn")), CONTEXT
        )
        for entry in self.entries(bms_url):
            self.bus.handle(RegisterFacility(entry=entry), CONTEXT)
        forecasts = PostgresEventStore(Forecasts, for_failover(self.database.app_dsn))
        forecasts.save([forecast(facility_id) for facility_id in self.facility_ids])
        forecasts.close()
        times = {} if self.window is None else dict(zip(("starts_at", "ends_at"), self.window, strict=True))
        asked = notice(
            program_id=PROGRAM, facility_ids=self.facility_ids, target_kw=120.0, callback_url=None, **times
        )
        command = JudgeNotification(utility_id=UTILITY, utility_event_id=self.run, notice=asked)
        judgement = self.bus.handle(command, CONTEXT)
        assert judgement.status == "accepted", judgement
        self.dr_event_id = judgement.dr_event_id

    def entries(self, bms_url: str) -> list[FacilityEntry]:
        return [
            facility_entry(
                facility_id,
                bms=BmsEntry(address=f"{bms_url}/buildings/{facility_id}/bms", profile=profile),
            )
            for facility_id, profile in zip(self.facility_ids, PROFILES, strict=True)
        ]

    def until_scheduled(self) -> None:
        self.until("scheduled", lambda: self.dr_event.status == "scheduled")

    def prepare(self) -> None:
        """Trigger the preparation; returns when both are prepared."""
        self.propose_preparation()
        self.until("prepared", lambda: all(d.was_prepared for d in self.dispatches()))

    def propose_preparation(self) -> None:
        """Trigger the preparation; returns while prepares are in progress."""
        self._propose(timedelta(hours=2), StartPreparation(dr_event_id=self.dr_event_id))

    def start(self) -> None:
        self.propose_start()
        self.until_committed()

    def propose_start(self) -> None:
        """Trigger the start; returns while commits are in progress."""
        self._propose(timedelta(0), StartDREvent(dr_event_id=self.dr_event_id))

    def until_committed(self) -> None:
        self.until("committed", lambda: all(d.was_committed for d in self.dispatches()))

    def end(self) -> None:
        self._propose(-timedelta(hours=2), EndDREvent(dr_event_id=self.dr_event_id))
        self.until("completed", self._restored_step_by_step)

    def _restored_step_by_step(self) -> bool:
        """Whether everything is restored; triggers the deferred restores of zones."""
        for dispatch in self.dispatches():
            if dispatch.restore_steps:
                due = max(step.not_before for step in dispatch.restore_steps)
                self.driver_clock.moment = max(self.driver_clock.moment, due)
                command = RestoreDispatch(dr_event_id=self.dr_event_id, facility_id=dispatch.facility_id)
                self.bus.handle(command, CONTEXT)
        return self.dr_event.status == "completed"

    def until_struck(self) -> None:
        """Wait until the failpoint was hit and the killed process is working again."""
        self.until("a kill", lambda: bool(self.killed))

    def _propose(self, before_start: timedelta, command: object) -> None:
        self.driver_clock.moment = self.dr_event.judged_notice.starts_at - before_start
        self.bus.handle(command, CONTEXT)  # type: ignore[arg-type]

    def until(self, what: str, there: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not there():
            self._supervise()
            if time.monotonic() > deadline:
                raise TookTooLong(f"no {what} after {patience_s} s; {self._log_excerpts()}")
            time.sleep(0.02)
        self._supervise()

    def start_processes(self) -> None:
        for name in ("project", "decide", "dispatch"):
            self._start(name)

    @contextlib.contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Inside the block that worker does not run: it was killed, and starts again afterwards."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(timeout=END_S)
        yield
        self._start(name)

    def _supervise(self) -> None:
        for name, process in list(self._processes.items()):
            status = process.poll()
            if status == -signal.SIGKILL:
                self.killed.append(name)
                self._start(name)
            elif status is not None:
                raise AssertionError(f"{name} ended with {status}; {self._log_excerpts()}")

    def _start(self, name: str) -> None:
        self._processes[name] = self.opened(name)

    def opened(self, name: str) -> subprocess.Popen[bytes]:
        """A new process of that worker; the caller ends it."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *self._program(name), "worker", name],
                cwd=ROOT,
                env=self._environment(name),
                stdout=log,
                stderr=log,
            )

    def begin_traces(self) -> None:
        """Returns once each process writes its calls."""
        files = [self._calls(name) for name in self._processes]
        for file in files:
            Path(f"{file}.begin").touch()
        self.until("traces", lambda: all(file.exists() and file.stat().st_size for file in files))

    def _calls(self, name: str) -> Path:
        return self.folder / f"{name}.calls"

    def _program(self, name: str) -> list[str]:
        if self.is_traced:
            return ["tests.traced_worker", "--calls", str(self._calls(name))]
        if self.planted_fault is None:
            return ["interfaces.cli"]
        return ["tests.planted_worker", "--fault", self.planted_fault]

    def _environment(self, name: str) -> dict[str, str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GRIDPROOF_")}
        environment |= {
            "GRIDPROOF_DATA_DIR": str(self.folder),
            "GRIDPROOF_DATABASE_URL": self.database.app_dsn,
            "GRIDPROOF_NATS_URL": self.nats_url,
            "GRIDPROOF_CLOCK_EPOCH": NOW.isoformat(),
            "GRIDPROOF_CLOCK_STARTED_AT": self.started_at.isoformat(),
            "GRIDPROOF_CLOCK_SPEED": str(SPEED),
            "GRIDPROOF_BMS_NETWORKS": "127.0.0.0/8",
            "GRIDPROOF_BMS_TOTAL_TIMEOUT_S": "300",
            "GRIDPROOF_BMS_CONNECT_TIMEOUT_S": "300",
        }
        if name == self.failpoint.partition(".")[0]:
            environment["GRIDPROOF_TESTING"] = "true"
            environment["GRIDPROOF_FAILPOINT"] = self.failpoint
            environment["GRIDPROOF_FAILPOINT_ONCE_FILE"] = str(self.once_file)
        return environment

    def _log_excerpts(self) -> str:
        logs = {path.stem: path.read_text()[-2_000:] for path in self.folder.glob("*.log")}
        states = [(d.facility_id, d.status) for d in self.dispatches()] if self.dr_event.targets else []
        return f"the DR event is {self.dr_event.status}, its dispatches {states}; {logs}"

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(timeout=END_S)
        self.events.close()


def _unchanged(app: ASGIApp) -> ASGIApp:
    return app


@contextlib.contextmanager
def served_buildings(
    system: SmallSystem, *, bind: str = "127.0.0.1:0", around: Callable[[ASGIApp], ASGIApp] = _unchanged
) -> Iterator[str]:
    """Serve both buildings over HTTP from a thread; yields the server's URL. `around` wraps the application."""
    buildings = {
        entry.facility_id: Building.of(entry, record=system.journal.append)
        for entry in system.entries("http://unused")
    }
    app = create_bms_app(BmsServer(buildings, clock=system.clock))
    url: list[str] = []
    ready, stop = Event(), Event()

    async def serve() -> None:
        async with hosted(around(app), bind) as address:
            url.append(address)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        assert ready.wait(START_S), "the buildings did not start"
        yield url[0]
    finally:
        stop.set()
        thread.join(END_S)


@contextlib.contextmanager
def small_system(
    database: Database,
    nats_url: str,
    folder: Path,
    failpoint: str,
    *,
    planted_fault: Fault | None = None,
    window: tuple[datetime, datetime] | None = None,
) -> Iterator[SmallSystem]:
    system = SmallSystem(database, nats_url, folder, failpoint, planted_fault, window)
    with contextlib.closing(system), served_buildings(system) as bms_url:
        system.accept(bms_url)
        system.start_processes()
        yield system
