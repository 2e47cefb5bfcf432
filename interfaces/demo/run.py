"""Runs the demo: starts the servers and processes, runs the scenario and checks the result."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from application.facility.portfolio_entries import Portfolio
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.identifiers import dispatch_id
from domain.time_series.windows import TimeWindow
from interfaces.bootstrap import (
    Stores,
    accelerated_clock,
    clock_of,
    free_port,
    meter_readings,
    open_stores,
    verify_read_models,
)
from interfaces.demo.api import ApiClient
from interfaces.demo.building_actions import building_actions
from interfaces.demo.checks import Evidence, failed_facilities, faults
from interfaces.demo.correction import corrected_messages, send
from interfaces.demo.document import DemoDocument, document_of
from interfaces.demo.facility_roles import FacilityRoles, assign_roles
from interfaces.demo.ledger import check_ledger, write_and_check_proof
from interfaces.demo.options import EPOCH, WINDOW, DemoOptions
from interfaces.demo.scenario import DemoFailed, Scenario
from interfaces.demo.settlement import settlement_of
from interfaces.demo.setup import (
    COVERED,
    facilities_for,
    import_history,
    issue_key,
    portfolio_of,
    register,
    written,
)
from interfaces.settings.settings import Settings
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.journal import read_journal
from interfaces.simulators.meters.recorded_load import facility_zones
from interfaces.simulators.sample_portfolio import UTILITY_ID
from interfaces.simulators.utility import ReceivedCallback
from interfaces.simulators.world import load_sources
from interfaces.simulators.world_spec import ClockSpec, WorldAddresses, WorldSpec, read_addresses
from interfaces.system.private_files import make_private_folder, write_private
from interfaces.system.running_system import (
    ADMIN_KEY,
    PROCESSES,
    READY_WITHIN_S,
    RunningSystem,
)

SECRET = "GRIDPROOF_SECRET_CALLBACK_DEMO"  # noqa: S105 - the name of a variable, not a secret
CORRECTED = timedelta(minutes=15)
"""The part of the window whose readings a meter corrects."""
METER_CADENCE_S = 60.0
FAILPOINT_FILE_PREFIX = "killed"
"""The prefix of the once-file that all processes with a failpoint share, so that only one of them is killed."""


@dataclass(frozen=True)
class DemoSetup:
    """The prepared facilities, keys and history that the scenario needs."""

    portfolio: Portfolio
    roles: FacilityRoles
    bms_bind: str
    utility_key: str
    admin_key: str


class Demo:
    """A run, in its own folder."""

    def __init__(self, options: DemoOptions, report: Callable[[str], None]) -> None:
        self._options = options
        self._report = report
        self._began = time.monotonic()
        self._folder = options.data_dir or Path(tempfile.mkdtemp(prefix="gridproof-demo-"))
        self.log: tuple[DomainEvent, ...] = ()
        self.killed: tuple[str, ...] = ()
        self.url = self._mqtt_url = ""

    @property
    def seconds(self) -> float:
        """Wall seconds since the demo began."""
        return time.monotonic() - self._began

    @property
    def folder(self) -> Path:
        return self._folder

    def run(self, show: Callable[[DemoDocument], None]) -> DemoDocument:
        """Run the demo. `show` is called with the result while the system still runs.

        Raises DemoFailed, or the error that kept the servers from starting.
        """
        os.environ[SECRET] = secrets.token_hex(16)  # noqa: TID251 - passed to the worker processes
        settings = Settings(
            data_dir=self._folder,
            http_bind=f"127.0.0.1:{free_port()}",
            allow_private_callbacks=True,
            bms_networks="127.0.0.0/8",
            log_level="info",
            otlp_url=self._options.otlp_url,
            worker_metrics_bind=self._options.worker_metrics_bind,
            http_metrics_bind=self._options.http_metrics_bind,
            **self._options.servers,
        )
        try:
            with RunningSystem(settings, program=self._options.program) as system:
                document = self._run_scenario(system)
                show(document)
                return document
        finally:
            if not self._options.keep and self._options.data_dir is None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _run_scenario(self, system: RunningSystem) -> DemoDocument:
        system.start_servers()
        self._mqtt_url = self._options.meters_mqtt_url or system.meters_mqtt_url
        self._report("PostgreSQL, NATS (JetStream, MQTT) and Valkey are up")
        setup = self._set_up(system)
        write_private(self._folder / ADMIN_KEY, setup.admin_key)
        addresses = self._start_processes(system, setup)
        self._report(
            f"{len(PROCESSES)} worker processes and the simulated world run at {self._options.speed:g} times real time"
        )
        with contextlib.closing(open_stores(system.settings)) as stores:
            scenario = Scenario(
                ApiClient(system.url, setup.utility_key),
                ApiClient(system.url, setup.admin_key),
                stores.clock,
                self._report,
            )
            if not self._options.without_meters:
                scenario.wait_for_forecasts(stores.forecasts, setup.roles)
            dr_event_id, ends_at = scenario.post(setup.portfolio, setup.roles, addresses.callback_url)
            in_time = scenario.follow(dr_event_id, ends_at)
            resettled = None
            if self._options.resettle and in_time:
                self._correct_readings(stores, setup.roles, ends_at, self._mqtt_url)
                resettled = scenario.wait_for_resettlement(dr_event_id)
            return self._check(
                stores, setup.roles, UUID(dr_event_id), addresses, in_time=in_time, resettled=resettled
            )

    def _correct_readings(
        self, stores: Stores, roles: FacilityRoles, ends_at: datetime, mqtt_url: str
    ) -> None:
        """The meters of one facility send those of the first quarter-hour again. Raises DemoFailed."""
        facility_id, starts_at = roles.responds_late, ends_at - WINDOW
        window = TimeWindow(starts_at, starts_at + CORRECTED)
        messages = corrected_messages(facility_id, meter_readings(stores).meter_readings(facility_id, window))
        try:
            send(mqtt_url, messages)
        except (OSError, TimeoutError) as error:
            raise DemoFailed(f"the corrected readings could not be sent: {error}") from error
        self._report(
            f"the meter of {facility_id} corrects {len(messages)} readings of {starts_at:%H:%M} to "
            f"{window.ends_at:%H:%M} UTC: 2 % more"
        )

    def _set_up(self, system: RunningSystem) -> DemoSetup:
        """Import the portfolio and its history, and issue the keys."""
        readings = self._options.readings
        samples = facilities_for(
            self._options.facilities, readings, facility_zones(readings) if readings else {}
        )
        roles = assign_roles([sample.facility_id for sample in samples])
        bms_bind = f"127.0.0.1:{free_port()}"
        portfolio = portfolio_of(
            samples,
            bms_url=f"http://{bms_bind}",
            without_dedup=roles.loses_response,
            single_phase=roles.single_phase,
            secret_ref=f"env:{SECRET}",
        )
        # With a clock just before the epoch, so that these domain events are older than the scenario's.
        early = accelerated_clock(EPOCH - timedelta(minutes=30), clock_of(system.settings).now(), 1.0)
        with contextlib.closing(open_stores(system.settings, clock=early)) as stores:
            register(stores, portfolio, in_maintenance=roles.in_maintenance)
            self._report(f"{len(samples)} facilities imported, {roles.in_maintenance} is in maintenance")
            self._import_history(stores, portfolio)
            return DemoSetup(
                portfolio=portfolio,
                roles=roles,
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
        self._report(
            f"{import_history(stores, portfolio, sources):,} intervals of history imported and sealed"
        )

    def _start_processes(self, system: RunningSystem, setup: DemoSetup) -> WorldAddresses:
        """Start the accelerated clock, the workers and the simulated world."""
        weather_bind = f"127.0.0.1:{free_port()}"
        clock = ClockSpec(epoch=EPOCH, started_at=clock_of(system.settings).now(), speed=self._options.speed)
        spec = self._world(clock, self._mqtt_url, setup, weather_bind)
        system.start_workers(
            replace(
                system.settings,
                weather_url=f"http://{weather_bind}",
                clock_epoch=clock.epoch,
                clock_started_at=clock.started_at,
                clock_speed=clock.speed,
            ),
            without=("compute",),
            environs=self._failpoints(),
        )
        system.start_process("world", ["simulate", "world", "--spec", str(spec)])
        system.wait_until_ready()
        self.url = system.url
        addresses = self._world_addresses()
        # Last, so that the weather service answers its first cycle.
        system.start_process("compute", ["worker", "compute"])
        return addresses

    def _failpoints(self) -> dict[str, dict[str, str]]:
        """The additional environment of the processes with a failpoint."""
        return {
            process: {
                "GRIDPROOF_TESTING": "true",
                "GRIDPROOF_FAILPOINT": failpoint,
                "GRIDPROOF_FAILPOINT_ONCE_FILE": str(self._failpoint_file(failpoint)),
            }
            for failpoint in self._options.failpoints
            for process, worker in PROCESSES.items()
            if worker == failpoint.partition(".")[0]
        }

    def _failpoint_file(self, failpoint: str) -> Path:
        return self._folder / f"{FAILPOINT_FILE_PREFIX}.{failpoint}"

    def _world(self, clock: ClockSpec, mqtt_url: str, setup: DemoSetup, weather_bind: str) -> Path:
        directory = self._folder / "world"
        make_private_folder(directory)
        readings = self._options.readings
        spec = WorldSpec(
            portfolio=str(written(directory / "portfolio.json", setup.portfolio)),
            directory=str(directory),
            clock=clock,
            mqtt_url=mqtt_url,
            bms_bind=setup.bms_bind,
            weather_bind=weather_bind,
            faults=setup.roles.faults(),
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
            addresses = read_addresses(self._folder / "world")
            if addresses is not None:
                return addresses
            time.sleep(0.05)
        raise DemoFailed(f"the simulated world did not start; read {self._folder}/logs/world.log")

    def _check(
        self,
        stores: Stores,
        roles: FacilityRoles,
        dr_event_id: UUID,
        addresses: WorldAddresses,
        *,
        in_time: bool,
        resettled: bool | None,
    ) -> DemoDocument:
        over_at = stores.clock.now()
        ledger = check_ledger(stores)
        # Read after the wait for sealing, in which late restores may still happen, and before the journal is read.
        at = stores.clock.now()
        journal = read_journal(Path(addresses.bms_journal), JournalEntry)
        log = dr_event_log(stores, dr_event_id, roles)
        evidence = Evidence(
            roles=roles,
            dr_event=stores.events.load(DREvent, dr_event_id),
            log=log,
            journal=journal,
            callbacks=read_journal(Path(addresses.callback_journal), ReceivedCallback),
            building_actions=building_actions(journal, dr_event_id, at=at, over_at=over_at),
            in_time=in_time,
            resettled=resettled,
            settlement=settlement_of(stores, dr_event_id),
            unequal_read_models=tuple(verify_read_models(stores)),
            ledger=ledger,
            proof=write_and_check_proof(
                stores,
                dr_event_id,
                self._folder,
                is_kept=self._options.keep or self._options.data_dir is not None,
            ),
            killed={name: _work_in_flight(self._failpoint_file(name)) for name in self._options.failpoints},
        )
        self.log, self.killed = log, evidence.in_flight
        return document_of(
            evidence,
            domain_events=stores.events.head(),
            seconds=self.seconds,
            faults=faults(evidence),
            failed=failed_facilities(log),
        )


def dr_event_log(stores: Stores, dr_event_id: UUID, roles: FacilityRoles) -> tuple[DomainEvent, ...]:
    """The domain events of the DR event and of its dispatches, in order."""
    streams = {dr_event_id} | {dispatch_id(dr_event_id, facility_id) for facility_id in roles.requested}
    entries: list[DomainEvent] = []
    position = 0
    while batch := stores.events.read_after(position, 1000):
        entries += [entry.domain_event for entry in batch if entry.domain_event.originator_id in streams]
        position = batch[-1].position
    return tuple(entries)


def _work_in_flight(once_file: Path) -> str | None:
    return once_file.read_text(encoding="utf-8").strip() if once_file.exists() else None
