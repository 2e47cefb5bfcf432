"""Runs a simulated day of forecasts on the real system and collects its results."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

from adapters.clock import AcceleratedClock
from adapters.embedded.loopback import free_port
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.forecast.models import PostgresForecastModels
from application.event_store.forecasts import Forecasts
from application.facility.portfolio_entries import Portfolio, ProgramEntry
from application.ports.forecast.load_forecaster import TrainedModel
from application.ports.operations.alerts import Alert
from domain.forecast import Forecast
from domain.time_series.windows import TimeWindow
from interfaces.bootstrap import Stores, accelerated_clock, open_stores
from interfaces.demo.api import ApiClient
from interfaces.demo.options import EPOCH
from interfaces.demo.scenario import WEBHOOK
from interfaces.demo.setup import PROGRAM, import_history, issue_key, register, written
from interfaces.settings.settings import Settings
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.journal import read_journal
from interfaces.simulators.meters.meters import Silence
from interfaces.simulators.outside_journal import (
    METER_JOURNAL,
    WEATHER_JOURNAL,
    MeterTurn,
    WeatherCall,
)
from interfaces.simulators.parts import BMS_JOURNAL
from interfaces.simulators.sample_portfolio import UTILITY_ID, make_portfolio
from interfaces.simulators.weather.service import WeatherFaults
from interfaces.simulators.world import load_sources
from interfaces.simulators.world_spec import ClockSpec, WorldSpec, read_addresses
from interfaces.system.running_system import RunningSystem
from tests.chaos.forecast_day.day_plan import APPROVED, NOT_APPROVED, SILENT, DayPlan
from tests.chaos.forecast_day.day_schedulers import Schedulers
from tests.patience import START_S

METER_CADENCE_S = 60.0
PATIENCE_S = 60.0
USUAL_IMPORTS_S = 1.5
STOOD_STILL = timedelta(seconds=3)
"""Wall time in which a loop that sleeps for 0.1 s and syncs a short write to disk made no progress."""
NOT_NEEDED = ("archive",)
ONLY_FOR_DR_EVENTS = ("decide", "watch", "dispatch-1", "dispatch-2")

Fact = Forecast.Issued | Forecast.Reissued


@dataclass(kw_only=True)
class Day:
    """The results of a simulated day, from the log and all journals."""

    plan: DayPlan
    facility_ids: tuple[str, ...]
    schedulers: Schedulers
    notes: list[tuple[datetime, str]] = field(default_factory=list)
    """The actions on the system with their times."""
    facts: list[Fact] = field(default_factory=list)
    """All domain events of the forecast log."""
    alerts: list[Alert] = field(default_factory=list)
    """Including cleared alerts."""
    weather_calls: list[WeatherCall] = field(default_factory=list)
    meter_turns: list[MeterTurn] = field(default_factory=list)
    bms_actions: list[JournalEntry] = field(default_factory=list)
    stalls: list[TimeWindow] = field(default_factory=list)
    """Clock-time windows in which the machine stalled and nothing ran."""
    cache_lost_at: datetime = EPOCH
    models: dict[str, TrainedModel] = field(default_factory=dict)
    """By facility, the models in use at the start of the weather outage."""
    planned: dict[str, Any] = field(default_factory=dict)
    """The dispatches of the DR event by facility, after planning; `ended` has them at the end of the day."""
    ended: dict[str, Any] = field(default_factory=dict)


class DayRunner:
    """Starts the system, executes the plan and collects the results."""

    def __init__(self, plan: DayPlan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self._bms_bind, self._weather_bind = (f"127.0.0.1:{free_port()}" for _ in range(2))
        program = ProgramEntry(
            **{name: getattr(PROGRAM, name) for name in PROGRAM.__struct_fields__}
            | {"forecast_guardrail": "block"}
        )
        self.portfolio: Portfolio = make_portfolio(
            plan.facilities, bms_url=f"http://{self._bms_bind}", program=program
        )

    @contextlib.contextmanager
    def run(self) -> Iterator[tuple[Day, Stores, ApiClient]]:
        """Yields the completed day while its system still runs."""
        settings = Settings(
            data_dir=self.folder,
            http_bind=f"127.0.0.1:{free_port()}",
            http_rate_per_key_per_s=10_000.0,
            bms_networks="127.0.0.0/8",
            bms_total_timeout_s=600.0,
            bms_connect_timeout_s=600.0,
        )
        with RunningSystem(settings) as system:
            system.start_servers()
            keys = self._registered(system)
            clock = self._started(system)
            utility, operator = (ApiClient(system.url, key) for key in keys)
            schedulers = Schedulers(system.settings, clock, self.folder)
            facility_ids = tuple(entry.facility_id for entry in self.portfolio.facilities)
            day = Day(plan=self.plan, facility_ids=facility_ids, schedulers=schedulers)
            with contextlib.closing(schedulers), contextlib.closing(open_stores(system.settings)) as stores:
                schedulers.start("forecast-1")
                self._execute_plan(day, clock, stores, utility, operator)
                self._collect(day, stores, operator)
                yield day, stores, operator

    def _registered(self, system: RunningSystem) -> tuple[str, str]:
        early = accelerated_clock(EPOCH - timedelta(hours=2), datetime.now(UTC), 1.0)
        with contextlib.closing(open_stores(system.settings, clock=early)) as stores:
            register(stores, self.portfolio)
            import_history(stores, self.portfolio, load_sources(self.portfolio))
            return (
                issue_key(stores, role="utility", utility_id=UTILITY_ID),
                issue_key(stores, role="admin", utility_id=None),
            )

    def _started(self, system: RunningSystem) -> AcceleratedClock:
        slowness = _slowness()
        head_start = timedelta(seconds=self.plan.head_start_s * slowness)
        speed = self.plan.speed / slowness if self.plan.slower_when_busy else self.plan.speed
        clock = ClockSpec(epoch=EPOCH, started_at=datetime.now(UTC) + head_start, speed=speed)
        directory = self.folder / "world"
        directory.mkdir(parents=True)
        spec = WorldSpec(
            portfolio=str(written(directory / "portfolio.json", self.portfolio)),
            directory=str(directory),
            clock=clock,
            mqtt_url=system.meters_mqtt_url,
            bms_bind=self._bms_bind,
            weather_bind=self._weather_bind,
            meter_cadence_s=METER_CADENCE_S,
            silences=(Silence(facility_id=SILENT, during=self.plan.silent),),
            weather=WeatherFaults(down_during=(self.plan.weather_down,)),
        )
        settings = replace(
            system.settings,
            weather_url=f"http://{self._weather_bind}",
            clock_epoch=clock.epoch,
            clock_started_at=clock.started_at,
            clock_speed=clock.speed,
        )
        left_out = NOT_NEEDED if self.plan.dr_event else (*NOT_NEEDED, *ONLY_FOR_DR_EVENTS)
        system.start_workers(settings, without=("compute", *left_out))
        spec_file = written(directory / "spec.json", spec)
        system.start_process("world", ["simulate", "world", "--spec", str(spec_file)])
        system.wait_until_ready()
        deadline = time.monotonic() + PATIENCE_S
        while read_addresses(directory) is None:
            assert time.monotonic() < deadline, "the world did not come up; read logs/world.log"
            time.sleep(0.05)
        return AcceleratedClock(epoch=clock.epoch, started_at=clock.started_at, speed=clock.speed)

    def _execute_plan(
        self, day: Day, clock: AcceleratedClock, stores: Stores, utility: ApiClient, operator: ApiClient
    ) -> None:
        plan, schedulers = self.plan, day.schedulers
        first, second = plan.killed_at
        todo: list[tuple[datetime, str, Callable[[], None]]] = [
            (first, "the next cycle's worker dies before it records", schedulers.arm),
            (second, "the next cycle's worker dies after it recorded", schedulers.arm),
            (
                plan.several.starts_at,
                "a waiting worker and a rival start",
                lambda: schedulers.start("forecast-2", "rival"),
            ),
            (plan.several.ends_at, "both are killed", lambda: schedulers.kill("forecast-2", "rival")),
            (
                plan.weather_down.starts_at,
                "the weather service is down",
                lambda: day.models.update(PostgresForecastModels(stores.pool).of(day.facility_ids)),
            ),
            (plan.weather_down.ends_at, "the weather service answers", lambda: None),
            (plan.silent.starts_at, f"the meter of {SILENT} falls silent", lambda: None),
            (plan.silent.ends_at, f"the meter of {SILENT} speaks", lambda: None),
            (
                plan.cache_lost_at,
                "all workers are killed, the cache is lost",
                lambda: self._lose_the_cache(day, clock),
            ),
        ]
        if (nobody := plan.nobody) is not None:
            todo += [
                (nobody.starts_at, "all workers are killed", lambda: schedulers.kill(*schedulers.running())),
                (nobody.ends_at, "a worker starts", lambda: schedulers.start("forecast-1")),
            ]
        if (dr_event := plan.dr_event) is not None:
            asked_at = dr_event.starts_at - timedelta(minutes=35)
            words = f"a DR event is planned; a person approves {APPROVED}, not {NOT_APPROVED}"
            todo.append((asked_at, words, lambda: self._ask(day, utility, operator)))
        todo.sort(key=lambda one: one[0])
        looked_at = clock.now()
        while (now := clock.now()) < plan.ends_at:
            if now - looked_at > clock.speed * STOOD_STILL:
                day.stalls.append(TimeWindow(looked_at, now))
            schedulers.supervise()
            while todo and todo[0][0] <= now:
                _, words, do = todo.pop(0)
                day.notes.append((clock.now(), words))
                do()
            looked_at = clock.now()
            self._beat()
            time.sleep(0.1)
        schedulers.supervise()
        assert todo == []

    def _beat(self) -> None:
        """Write and sync a heartbeat file: the system also waits for the disk, so a slow disk counts as a stall."""
        with (self.folder / "heartbeat").open("w") as file:
            file.write("alive")
            file.flush()
            os.fsync(file.fileno())

    def _lose_the_cache(self, day: Day, clock: AcceleratedClock) -> None:
        names = day.schedulers.running()
        day.schedulers.kill(*names)
        with contextlib.closing(redis.Redis.from_url(str(day.schedulers.settings.redis_url))) as cache:
            cache.flushall()
        day.cache_lost_at = clock.now()
        day.schedulers.start(*names)

    def _ask(self, day: Day, utility: ApiClient, operator: ApiClient) -> None:
        dr_event = self.plan.dr_event
        assert dr_event is not None
        notice = {
            "notification_id": "n-1",
            "event_id": "IN-THE-OUTAGE",
            "modification_number": 0,
            "program": PROGRAM.program_id,
            "starts_at": dr_event.starts_at.isoformat(),
            "ends_at": dr_event.ends_at.isoformat(),
            "target_reduction_kw": 30.0,
            "facility_ids": [APPROVED, NOT_APPROVED],
            "priority": 1,
        }
        answer = utility.post(WEBHOOK, notice)
        assert answer.status == 202, answer
        path = f"/api/dr-events/{answer.body['dr_event_id']}"
        deadline = time.monotonic() + PATIENCE_S
        while len(day.planned) < 2:
            assert time.monotonic() < deadline, f"not planned: {operator.get(path)}"
            day.schedulers.supervise()
            time.sleep(0.05)
            day.planned = _dispatches(operator, path)
        body = {"facility_id": APPROVED, "reason": "the weather is as yesterday's"}
        assert operator.post(f"{path}/overrides", body).status == 202
        day.ended = {"path": path}

    def _collect(self, day: Day, stores: Stores, operator: ApiClient) -> None:
        with contextlib.closing(PostgresEventStore(Forecasts, stores.database_url)) as log:
            position = 0
            while batch := log.read_after(position, 1000):
                day.facts += [entry.domain_event for entry in batch]  # type: ignore[misc]  # it holds no other types
                position = batch[-1].position
        day.alerts = stores.alerts().listed(include_cleared=True, limit=1_000)
        world = self.folder / "world"
        day.weather_calls = read_journal(world / WEATHER_JOURNAL, WeatherCall)
        day.meter_turns = read_journal(world / METER_JOURNAL, MeterTurn)
        day.bms_actions = read_journal(world / BMS_JOURNAL, JournalEntry)
        if "path" in day.ended:
            day.ended = _dispatches(operator, day.ended["path"])


def _dispatches(operator: ApiClient, path: str) -> dict[str, Any]:
    answer = operator.get(f"{path}/dispatches")
    return {one["facility_id"]: one for one in answer.body["items"]} if answer.status == 200 else {}


def _slowness() -> float:
    """How much longer a worker's imports take than on an idle machine, as a factor from 1 to 6."""
    began = time.monotonic()
    modules = (
        "interfaces.bootstrap",
        "adapters.forecasting",
        "interfaces.workers.compute.forecast",
        "interfaces.web.app",
    )
    command = f"import {', '.join(modules)}"
    subprocess.run([sys.executable, "-c", command], check=True, timeout=START_S)
    return min(6.0, max(1.0, (time.monotonic() - began) / USUAL_IMPORTS_S))
