"""Running the demo: start everything, tell the story, collect the evidence."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from application.facility.portfolio_entries import Portfolio
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.identifiers import dispatch_id
from interfaces.bootstrap import Stores, accelerated_clock, clock_of, open_stores, verify_read_models
from interfaces.demo.api import ApiClient
from interfaces.demo.cast import Cast, cast_of
from interfaces.demo.document import DemoDocument, document_of
from interfaces.demo.ledger import judged_ledger
from interfaces.demo.options import EPOCH, DemoOptions
from interfaces.demo.stage import (
    COVERED,
    facilities_for,
    import_history,
    issue_key,
    portfolio_of,
    register,
    written,
)
from interfaces.demo.story import DemoFailed, Story
from interfaces.demo.verdict import Evidence, failed_facilities, faults
from interfaces.demo.witness import witnessed
from interfaces.settings.settings import Settings
from interfaces.simulators.bms.journal import read_journal
from interfaces.simulators.meters.recorded_load import facility_zones
from interfaces.simulators.sample_portfolio import UTILITY_ID
from interfaces.simulators.utility import read_callbacks
from interfaces.simulators.world import load_sources
from interfaces.simulators.world_spec import ClockSpec, WorldAddresses, WorldSpec, read_addresses
from interfaces.system.running_system import (
    ADMIN_KEY,
    PROCESSES,
    READY_WITHIN_S,
    RunningSystem,
    write_private,
)

SECRET = "GRIDPROOF_SECRET_DEMO_CALLBACKS"  # noqa: S105 - the name of a variable, not a secret
METER_CADENCE_S = 60.0
KILLED = "killed"
"""Before a failpoint's name, its file: however many processes carry it, one of them is killed, once."""
PROJECTED_WITHIN_S = 15.0


@dataclass(frozen=True)
class Scene:
    """What the story begins with."""

    portfolio: Portfolio
    cast: Cast
    bms_bind: str
    utility_key: str
    admin_key: str


class Demo:
    """One run in a folder of its own."""

    def __init__(self, options: DemoOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._began = time.monotonic()
        self._folder = options.data_dir or Path(tempfile.mkdtemp(prefix="gridproof-demo-"))
        self.story: tuple[DomainEvent, ...] = ()
        self.killed: tuple[str, ...] = ()
        self.url = ""

    @property
    def seconds(self) -> float:
        """Since the demo began, on the wall."""
        return time.monotonic() - self._began

    @property
    def folder(self) -> Path:
        return self._folder

    def run(self, show: Callable[[DemoDocument], None]) -> DemoDocument:
        """The whole demo; `show` is told how it ended while everything still runs.

        Raises DemoFailed, or what keeps the servers from running.
        """
        os.environ[SECRET] = secrets.token_hex(16)  # noqa: TID251 - handed on to the worker processes
        settings = Settings(
            data_dir=self._folder,
            http_bind=f"127.0.0.1:{_free_port()}",
            allow_private_callbacks=True,
            log_level="info",
            planted_faults=self._options.planted_faults,
            database_url=self._options.database_url,
            migration_database_url=self._options.migration_database_url,
        )
        try:
            with RunningSystem(settings) as system:
                document = self._tell(system)
                show(document)
                return document
        finally:
            if not self._options.keep and self._options.data_dir is None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _tell(self, system: RunningSystem) -> DemoDocument:
        system.start_servers()
        self._say("PostgreSQL, NATS (JetStream, MQTT) and Valkey are up")
        scene = self._set(system)
        write_private(self._folder / ADMIN_KEY, scene.admin_key)
        addresses = self._raise_curtain(system, scene)
        self._say(f"eleven processes and the simulated world run at {self._options.speed:g} times real time")
        with contextlib.closing(open_stores(system.settings)) as stores:
            story = Story(
                ApiClient(system.url, scene.utility_key),
                ApiClient(system.url, scene.admin_key),
                stores.clock,
                self._say,
            )
            if not self._options.without_meters:
                story.wait_for_forecasts(stores.forecasts, scene.cast)
            dr_event_id, ends_at = story.post(scene.portfolio, scene.cast, addresses.callback_url)
            in_time = story.follow(dr_event_id, ends_at)
            return self._judge(stores, scene.cast, UUID(dr_event_id), addresses, in_time=in_time)

    def _set(self, system: RunningSystem) -> Scene:
        """Portfolio, history and keys: all that is there before the story begins."""
        readings = self._options.readings
        samples = facilities_for(
            self._options.facilities, readings, facility_zones(readings) if readings else {}
        )
        cast = cast_of([sample.facility_id for sample in samples])
        bms_bind = f"127.0.0.1:{_free_port()}"
        portfolio = portfolio_of(
            samples,
            bms_url=f"http://{bms_bind}",
            without_dedup=cast.loses_answer,
            single_phase=cast.single_phase,
            secret_ref=f"env:{SECRET}",
        )
        # By a clock that reads just before the story's epoch, so that what is recorded now is older.
        early = accelerated_clock(EPOCH - timedelta(minutes=30), clock_of(system.settings).now(), 1.0)
        with contextlib.closing(open_stores(system.settings, clock=early)) as stores:
            register(stores, portfolio, in_maintenance=cast.in_maintenance)
            self._say(f"{len(samples)} facilities imported, {cast.in_maintenance} is in maintenance")
            self._import_history(stores, portfolio)
            return Scene(
                portfolio=portfolio,
                cast=cast,
                bms_bind=bms_bind,
                utility_key=issue_key(stores, role="utility", utility_id=UTILITY_ID),
                admin_key=issue_key(stores, role="admin", utility_id=None),
            )

    def _import_history(self, stores: Stores, portfolio: Portfolio) -> None:
        if self._options.without_meters:
            return
        readings = self._options.readings
        sources = load_sources(
            portfolio, readings=None if readings is None else str(readings), readings_end_at=COVERED
        )
        self._say(f"{import_history(stores.telemetry(), sources):,} intervals of history imported")

    def _raise_curtain(self, system: RunningSystem, scene: Scene) -> WorldAddresses:
        """The clock starts, and with it the workers and the world."""
        weather_bind = f"127.0.0.1:{_free_port()}"
        clock = ClockSpec(epoch=EPOCH, started_at=clock_of(system.settings).now(), speed=self._options.speed)
        spec = self._world(clock, system.meters_mqtt_url, scene, weather_bind)
        system.start_workers(
            replace(
                system.settings,
                weather_url=f"http://{weather_bind}",
                clock_epoch=clock.epoch,
                clock_started_at=clock.started_at,
                clock_speed=clock.speed,
            ),
            without=("forecast",),
            environs=self._failpoints(),
        )
        system.start_process("world", ["simulate", "world", "--spec", str(spec)])
        system.wait_until_ready()
        self.url = system.url
        addresses = self._world_addresses()
        # Last, so that its first cycle finds the weather service answering.
        system.start_process("forecast", ["worker", "forecast"])
        return addresses

    def _failpoints(self) -> dict[str, dict[str, str]]:
        """The environment of the processes that carry a failpoint."""
        return {
            process: {
                "GRIDPROOF_FAILPOINT": failpoint,
                "GRIDPROOF_FAILPOINT_ONCE_FILE": str(self._once_file(failpoint)),
            }
            for failpoint in self._options.failpoints
            for process, worker in PROCESSES.items()
            if worker == failpoint.partition(".")[0]
        }

    def _once_file(self, failpoint: str) -> Path:
        return self._folder / f"{KILLED}.{failpoint}"

    def _world(self, clock: ClockSpec, mqtt_url: str, scene: Scene, weather_bind: str) -> Path:
        directory = self._folder / "world"
        directory.mkdir(parents=True, exist_ok=True)
        readings = self._options.readings
        spec = WorldSpec(
            portfolio=str(written(directory / "portfolio.json", scene.portfolio)),
            directory=str(directory),
            clock=clock,
            mqtt_url=mqtt_url,
            bms_bind=scene.bms_bind,
            weather_bind=weather_bind,
            faults=scene.cast.faults(),
            shed_factor=self._options.shed_factor,
            meter_cadence_s=METER_CADENCE_S,
            all_meters_silent=self._options.without_meters,
            readings=None if readings is None else str(readings),
            readings_end_at=None if readings is None else COVERED,
        )
        return written(directory / "spec.json", spec)

    def _world_addresses(self) -> WorldAddresses:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            found = read_addresses(self._folder / "world")
            if found is not None:
                return found
            time.sleep(0.05)
        raise DemoFailed(f"the simulated world did not come up; read {self._folder}/logs/world.log")

    def _judge(
        self, stores: Stores, cast: Cast, dr_event_id: UUID, addresses: WorldAddresses, *, in_time: bool
    ) -> DemoDocument:
        over_at = stores.clock.now()
        ledger = judged_ledger(stores)
        # After the wait for sealing, in which buildings may still be let go; and no later than what it holds.
        at = stores.clock.now()
        journal = read_journal(Path(addresses.bms_journal))
        story = story_of(stores, dr_event_id, cast)
        evidence = Evidence(
            cast=cast,
            dr_event=stores.events.load(DREvent, dr_event_id),
            story=story,
            journal=journal,
            callbacks=read_callbacks(Path(addresses.callback_journal)),
            witnessed=witnessed(journal, dr_event_id, at=at, over_at=over_at),
            in_time=in_time,
            unequal_read_models=tuple(verify_read_models(stores)),
            ledger=ledger,
            killed={failpoint: _struck(self._once_file(failpoint)) for failpoint in self._options.failpoints},
        )
        self.story, self.killed = story, evidence.in_flight
        return document_of(
            evidence,
            domain_events=stores.events.head(),
            seconds=self.seconds,
            faults=faults(evidence),
            failed=failed_facilities(story),
        )


def story_of(stores: Stores, dr_event_id: UUID, cast: Cast) -> tuple[DomainEvent, ...]:
    """The log of the DR event and of its dispatches, in order."""
    streams = {dr_event_id} | {dispatch_id(dr_event_id, facility_id) for facility_id in cast.asked}
    entries: list[DomainEvent] = []
    position = 0
    while batch := stores.events.read_after(position, 1000):
        entries += [entry.domain_event for entry in batch if entry.domain_event.originator_id in streams]
        position = batch[-1].position
    return tuple(entries)


def _struck(once_file: Path) -> str | None:
    return once_file.read_text(encoding="utf-8").strip() if once_file.exists() else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
