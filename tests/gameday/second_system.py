"""Cases of the database's backups and standbys: one after another, on a small system of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from adapters.embedded.postgres import APP, DATABASE
from application.ports.operations.heartbeats import Process
from interfaces.bootstrap import save_addresses
from interfaces.bootstrap.connection_budget import budget_of_worker
from interfaces.bootstrap.health.admission import reserved_connections
from interfaces.bootstrap.health.process import heartbeats_of
from interfaces.settings.settings import Settings, read_settings
from tests.chaos.small_system import served_buildings
from tests.gameday.drill import Drill
from tests.gameday.extra_process import OTHER_MACHINE, end
from tests.gameday.registry import SECOND, Case, case
from tests.postgres_pair import PostgresPair, StandbyPostgres, folder_of_standby, wait_for_standby
from tests.restored_system import LOST_WINDOW, RestoredSystem, restored_system
from tests.running_demo import RunningDemo
from tests.servers import Database

UNDER_WAY = timedelta(hours=1, minutes=30)
"""A minute on the wall."""
CROWDED_OUT = "dispatch"
"""The worker of which one process is too many."""


class SecondSystem(RestoredSystem):
    """Two buildings, PostgreSQL with backups and later with a standby from which people read, NATS and the workers."""

    pair: PostgresPair | None = None
    workers = (*RestoredSystem.workers, "watch")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_end = ExitStack()

    def environ(self) -> dict[str, str]:
        if self.pair is None:
            return super().environ()
        return super().environ() | {
            "GRIDPROOF_DATABASE_STANDBYS": "1",
            "GRIDPROOF_DATABASE_REPLICA_URL": self.pair.standby.url(APP),
        }

    def settings(self) -> Settings:
        addresses = {
            "GRIDPROOF_DATABASE_URL": self.database.app_dsn,
            "GRIDPROOF_MIGRATION_DATABASE_URL": self.database.owner_dsn,
            "GRIDPROOF_NATS_URL": self.nats_url,
        }
        return read_settings(self.environ() | addresses)

    def start(self) -> None:
        """Start the processes; commands find the system by its folder."""
        save_addresses(self.settings())
        self.start_processes()

    def with_standby(self) -> StandbyPostgres:
        """From now on the database has a standby; every process is started again with the addresses of both."""
        primary = self.servers.postgres
        data = self._at_end.enter_context(
            closing(folder_of_standby(self.folder.parent / "standby", primary.data))
        )
        standby = StandbyPostgres(data, primary)
        standby.start()
        self._at_end.callback(standby.kill)
        self.pair = PostgresPair(primary, standby)
        self.database = Database(DATABASE, self.pair.app_dsn, self.pair.owner_dsn, self.pair.app_dsn)
        self.stop_processes()
        self.events.close()
        self.open_events()
        self.start()
        return standby

    @contextmanager
    def another(self, worker: str) -> Iterator[None]:
        """One more process of that worker runs, or tries to start, during the block."""
        process = self.opened(worker)
        try:
            yield
        finally:
            end(process)

    def begin_again(self) -> None:
        """The next DR event is another one."""
        self.run = uuid4().hex[:8]

    def close(self) -> None:
        super().close()
        self._at_end.close()


def second_of(drill: Drill) -> SecondSystem:
    assert isinstance(drill.second, SecondSystem)
    return drill.second


@contextmanager
def second_system() -> Iterator[SecondSystem]:
    with (
        TemporaryDirectory(prefix="gp-second-", ignore_cleanup_errors=True) as folder,
        restored_system(Path(folder), SecondSystem) as system,
        served_buildings(system) as bms_url,
    ):
        system.register(bms_url)
        system.start()
        yield system


@contextmanager
def drill_on(system: SecondSystem, one: Case) -> Iterator[Drill]:
    """The drill of one case; the system may get another address in it."""
    with system.stores() as stores:
        there = RunningDemo(
            url="", folder=system.folder, process=os.getpid(), document={}, keys={}, clock=system.clock
        )
        yield Drill(there, stores, one, second=system)


@case("take_no_backup", "backup_too_old", round=SECOND)
def take_no_backup(drill: Drill) -> None:
    """The system was just started, and has none."""
    drill.began = second_of(drill).clock.epoch
    too_old = drill.fires("backup_too_old")
    drill.look_at("backup_too_old")
    drill.undo()
    drill.do("backup_too_old", "gridproof backup")
    drill.ends(too_old)


@case("start_one_too_many", "process_refused", round=SECOND)
def start_one_too_many(drill: Drill) -> None:
    with _all_connections_taken(drill) as report_again, second_of(drill).another(CROWDED_OUT):
        refused = drill.fires("process_refused", f"{CROWDED_OUT} on ", meanwhile=report_again)
        drill.look_at("process_refused")
    drill.undo()
    with second_of(drill).another(CROWDED_OUT):
        drill.ends(refused)


@contextmanager
def _all_connections_taken(drill: Drill) -> Iterator[Callable[[], None]]:
    """As many processes as the server's connections allow report that they run on another machine. They have to report
    again as a process does: that is the function."""
    heartbeats, settings = heartbeats_of(drill.stores), drill.stores.settings
    admitted: list[Process] = []

    def report_again() -> None:
        for one in admitted:
            heartbeats.beat(one, backends=(), dependencies={})
        for number in count(len(admitted) + 1):
            another = Process(CROWDED_OUT, OTHER_MACHINE, number)
            room = heartbeats.admit(
                another,
                backends=(),
                budget_of=lambda worker: budget_of_worker(worker, settings),
                reserved=reserved_connections(settings),
            )
            if not room.fits:
                return
            admitted.append(another)

    try:
        report_again()
        yield report_again
    finally:
        for one in admitted:
            heartbeats.end(one)


@case("restore_while_curtailed", "curtailed_without_record", round=SECOND)
def restore_while_curtailed(drill: Drill) -> None:
    system = second_of(drill)
    moment = datetime.now(UTC)
    system.ask(LOST_WINDOW)
    system.until("plan", lambda: bool(system.dr_event.targets))
    system.until_committed()
    system.stop_processes()
    system.events.close()
    system.servers.stop()
    drill.gridproof("restore", "--to", moment.isoformat(), "--yes")
    system.servers.start()
    system.open_events()
    drill.begin()
    system.start()
    curtailed = drill.fires("curtailed_without_record")
    drill.look_at("curtailed_without_record")
    drill.undo()
    system.ask(UNDER_WAY)  # the utility sends it again, as the runbook says
    drill.ends(curtailed)


@case("stop_standby", "no_synchronous_standby", "standby_lost", "replica_not_current", round=SECOND)
def stop_standby(drill: Drill) -> None:
    """First no commit waits for the new standby; then it is away; then commits wait for it."""
    system = second_of(drill)
    standby = system.with_standby()
    unsafe = drill.fires("no_synchronous_standby")
    drill.look_at("no_synchronous_standby")
    drill.begin()
    standby.kill()
    lost = drill.fires("standby_lost")
    late = drill.fires("replica_not_current", "read replica")
    drill.look_at("standby_lost")
    drill.look_at("replica_not_current")
    standby.start()
    wait_for_standby(system.servers.postgres)
    drill.undo()
    for alert in (unsafe, lost, late):
        drill.ends(alert)


@case("fail_over_database", "database_failover", round=SECOND)
def fail_over_database(drill: Drill) -> None:
    system = second_of(drill)
    system.begin_again()
    system.ask(UNDER_WAY)
    system.until("plan", lambda: bool(system.dr_event.targets))
    system.until_committed()
    assert system.pair is not None
    drill.begin()
    system.pair.fail_over()
    failed_over = drill.fires("database_failover")
    drill.look_at("database_failover", ID=str(system.dr_event_id))
    drill.do("database_failover", "gridproof audit verify")
    drill.undo()
    system.until("completion", lambda: system.dr_event.status == "completed")
    drill.ends(failed_over)


@case("start_old_primary", "older_timeline", round=SECOND)
def start_old_primary(drill: Drill) -> None:
    old = second_of(drill).servers.postgres
    old.start()
    older = drill.fires("older_timeline")
    drill.look_at("older_timeline")
    drill.undo(old.kill)
    drill.ends(older)
