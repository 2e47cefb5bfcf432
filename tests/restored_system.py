"""A system that can be restored: PostgreSQL with backups, NATS, two buildings and workers, on an accelerated clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
import psycopg

from adapters.clock import AcceleratedClock
from adapters.embedded import EmbeddedServers
from adapters.embedded.postgres import DATABASE, SUPERUSER, WalArchiving
from adapters.nats.connection import connect
from adapters.nats.telemetry_stream import NatsTelemetryStream
from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.schema.migrate import migrate
from application.command_bus.bus import CommandBus
from application.commands.dr_event import JudgeNotification
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.event_store.demand_response import DemandResponse
from application.event_store.forecasts import Forecasts
from application.facility.portfolio_entries import FacilityEntry
from application.handlers import HANDLERS
from application.ports.operations.alerts import Alert
from application.telemetry.ingest.batch_codec import ReadingBatch, pack
from domain.forecast import cycle_start_of
from domain.telemetry.intervals import INTERVAL, interval_start
from domain.telemetry.meter_reading import MeterReading, partition_of
from interfaces.bootstrap import open_stores
from interfaces.bootstrap.ledger import NewestCheckpoint, ledger_store, wait_until_sealed
from interfaces.settings.settings import read_settings
from tests.chaos.small_system import ROOT, SmallSystem
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.patience import END_S, whole_system
from tests.sample_values import CONTEXT, NOW, PROGRAM, UTILITY, forecast, notice, program_entry, zone_entry
from tests.servers import Database

System = TypeVar("System", bound="RestoredSystem")
SPEED = 90.0
"""A quarter-hour lasts 10 s."""
WINDOW = timedelta(minutes=30)
"""At least 20 s on the wall, for a machine on which much else runs."""
WITHIN_S = 360.0
LOST_WINDOW = timedelta(hours=12)
"""The buildings do not end the lost curtailment by themselves before the DR event comes again."""
READINGS_A_STEP = 20


class RestoredSystem(SmallSystem):
    """PostgreSQL with backups, NATS, two buildings and the workers, at the accelerated clock."""

    servers: EmbeddedServers
    first_read: int = 0
    workers: ClassVar[tuple[str, ...]] = ("project", "decide", "dispatch", "aggregate")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.events.close()
        self.clock = AcceleratedClock(epoch=NOW, started_at=self.started_at, speed=SPEED)
        self.open_events()

    def open_events(self) -> None:
        self.events = PostgresEventStore(DemandResponse, for_failover(self.database.app_dsn))
        self.bus = CommandBus(self.events, self.clock, HANDLERS, forecasts=FakeForecastBook())

    def environ(self) -> dict[str, str]:
        """Of a command at this machine while the servers are stopped."""
        return {
            "GRIDPROOF_DATA_DIR": str(self.folder),
            "GRIDPROOF_BACKUP_DIR": str(self.folder.parent / "backups"),
            "GRIDPROOF_CLOCK_EPOCH": NOW.isoformat(),
            "GRIDPROOF_CLOCK_STARTED_AT": self.started_at.isoformat(),
            "GRIDPROOF_CLOCK_SPEED": str(SPEED),
            "GRIDPROOF_BMS_NETWORKS": "127.0.0.0/8",
        }

    def _environment(self, name: str) -> dict[str, str]:
        return super()._environment(name) | self.environ()

    def command(self, *arguments: str, expect: int = 0, running: bool = True) -> Any:
        """Run `gridproof ARGUMENTS --json` in a process of its own, since a process that saw a restored server refuses
        the one of before; returns its document."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GRIDPROOF_")}
        environ |= self.environ() | ({"GRIDPROOF_DATABASE_URL": self.database.app_dsn} if running else {})
        command = [sys.executable, "-m", "interfaces.cli", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=WITHIN_S
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return json.loads(done.stdout)

    def register(self, bms_url: str) -> None:
        entry = program_entry(
            prepare_lead_s=60,
            notification_lead_s=0,
            forecast_guardrail="warn",
            maximum_duration_s=int(LOST_WINDOW.total_seconds()) + 3_600,
        )
        self.bus.handle(AgreeProgram(entry=entry), CONTEXT)
        for facility in self.entries(bms_url):
            self.bus.handle(RegisterFacility(entry=facility), CONTEXT)

    def entries(self, bms_url: str) -> list[FacilityEntry]:
        longest_s = int(LOST_WINDOW.total_seconds()) + 3_600
        zones = (zone_entry("hall", longest_curtailment_s=longest_s),)
        return [
            msgspec.structs.replace(entry, zones=zones, longest_dr_event_s=longest_s)
            for entry in super().entries(bms_url)
        ]

    def ask(self, length: timedelta) -> None:
        """The utility asks for both buildings, from now on until a quarter-hour ends after `length`."""
        with contextlib.closing(
            PostgresEventStore(Forecasts, for_failover(self.database.app_dsn))
        ) as forecasts:
            cycle = cycle_start_of(self.clock.now())
            forecasts.save([forecast(facility_id, at=cycle) for facility_id in self.facility_ids])
        starts_at = self.clock.now() + timedelta(minutes=2)
        ends_at = interval_start(starts_at + INTERVAL) + length
        asked = notice(
            program_id=PROGRAM,
            facility_ids=self.facility_ids,
            target_kw=120.0,
            callback_url=None,
            starts_at=starts_at,
            ends_at=ends_at,
        )
        command = JudgeNotification(utility_id=UTILITY, utility_event_id=self.run, notice=asked)
        judgement = self.bus.handle(command, CONTEXT)
        assert judgement.status == "accepted", judgement.reasons
        self.dr_event_id = judgement.dr_event_id

    def send_readings(self) -> None:
        """The next readings of both meters, until they are stored."""
        asyncio.run(self._published())
        self.until("stored readings", lambda: self.stored_readings() == self.first_read)

    async def _published(self) -> None:
        client = await connect(self.nats_url, name="meters")
        stream = NatsTelemetryStream(client, archived=True)
        for facility_id in self.facility_ids:
            readings = [
                MeterReading(facility_id, "main", NOW + timedelta(seconds=n), 100.0, None)
                for n in range(self.first_read, self.first_read + READINGS_A_STEP)
            ]
            body = pack(ReadingBatch(received_at=self.clock.now(), readings=readings))
            name = f"{facility_id}-{self.first_read}"
            await stream.publish(partition_of(facility_id), body, message_id=name)
        await client.close()
        self.first_read += READINGS_A_STEP

    def stored_readings(self) -> int:
        """Of each meter, those that are repeated counted again: the same number of both, or -1."""
        with psycopg.connect(self.database.admin_dsn) as connection:
            connection.execute("SET search_path = gridproof")
            rows = connection.execute(
                "SELECT facility_id, count(*) FROM meter_readings GROUP BY facility_id"
            ).fetchall()
        counts = {number for _, number in rows}
        return int(counts.pop()) if len(rows) == len(self.facility_ids) and len(counts) == 1 else -1

    def until(self, what: str, there: Callable[[], bool], patience_s: float = WITHIN_S) -> None:
        super().until(what, there, patience_s)

    @contextlib.contextmanager
    def stores(self) -> Iterator[Any]:
        settings = read_settings(self.environ() | {"GRIDPROOF_DATABASE_URL": self.database.app_dsn})
        with contextlib.closing(open_stores(settings, pool_size=2)) as stores:
            yield stores

    def newest_checkpoint(self) -> str:
        """Number and digest of a checkpoint over everything, as a callback carries them."""
        with self.stores() as stores:
            assert wait_until_sealed(stores, within_s=60)
            reference = NewestCheckpoint(ledger_store(stores))()
        assert reference is not None
        return reference

    def alerts(self) -> list[Alert]:
        with self.stores() as stores:
            return [one for one in stores.alerts().listed() if one.cleared_at is None]

    def dead_letters(self) -> list[Any]:
        with self.stores() as stores:
            return list(stores.dead_letters().listed())

    def positions(self) -> dict[int, str]:
        """Position -> the stream that has it."""
        with psycopg.connect(self.database.admin_dsn) as connection:
            rows = connection.execute(
                "SELECT notification_id, originator_id::text || originator_version"
                " FROM gridproof.demand_response_events"
            )
            return dict(rows.fetchall())

    def _supervise(self) -> None:
        """As `gridproof up` does: on a machine on which much else runs, a worker may give up at its start."""
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                self._start(name)

    def _log_excerpts(self) -> str:
        return str({path.stem: path.read_text()[-2_000:] for path in self.folder.glob("*.log")})

    def stop_processes(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            process.wait(timeout=END_S)
        self._processes.clear()

    def start_processes(self) -> None:
        for name in self.workers:
            self._start(name)


@contextlib.contextmanager
def restored_system(folder: Path, of: type[System]) -> Iterator[System]:
    """With its servers, and without processes. The data are in `folder / "data"`, the backups beside it."""
    servers = EmbeddedServers(folder / "data", valkey=False, wal=WalArchiving(folder / "backups" / "wal", 60))
    with whole_system(), servers:
        url = servers.postgres.url
        database = Database(
            DATABASE, servers.database_url, servers.migration_database_url, url(SUPERUSER, DATABASE)
        )
        migrate(database.owner_dsn, alone=True)
        there = of(database, servers.nats_url, folder / "data", "")
        there.servers = servers
        with contextlib.closing(there):
            yield there
