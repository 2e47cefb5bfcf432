"""The telemetry soak: meters send while each component on the way to the store is killed; every reading is audited."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import psycopg

from domain.telemetry.intervals import INTERVAL, interval_start
from domain.time_series.windows import TimeWindow
from interfaces.bootstrap.stores import Stores, open_stores
from interfaces.simulators.meters.load import LoadReport, MeterLoad
from interfaces.simulators.meters.load_plan import LoadAudit, LoadPlan, audit, missing
from tests.bench.capacity.process_use import held_mb
from tests.bench.ingest.commit_times import keep_commit_times
from tests.bench.ingest.listing import list_meters
from tests.bench.ingest.setup import IngestSetup, open_ingest_setup
from tests.chaos.telemetry.telemetry_delays import Delays, Outage

WORKERS = ("ingest", "aggregate")
SERVERS = ("nats", "postgres", "valkey")

CHUNKS_AHEAD = 4
KNOWN_AFTER_S = 3.0
"""Ingest reads the portfolio once a second."""
PAUSE_S = 0.2
_APART_S = 4.0
"""Readings due after this time were not delayed by the outage."""

_AT_WORK = """
SELECT DISTINCT a.pid FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted
    AND starts_with(a.application_name, %s)
"""
_SESSIONS = {"ingest": "turn ingest", "aggregate": "gridproof partitions"}
_STORED = """
SELECT coalesce(sum(cardinality(ts)), 0) FROM gridproof.stored_chunks WHERE starts_with(facility_id, %s)
"""
# Meters send single readings, so all readings in time are stored there. A query this frequent must be cheap.
_NEWEST = "SELECT max(first_at) FROM measuring.added WHERE first_at > now() - interval '1 minute'"
_REFUSED = "SELECT queue, subject, reason FROM gridproof.dead_letters ORDER BY parked_at LIMIT 5"
"""Readings that are no readings of a listed meter become dead letters."""


class TookTooLong(AssertionError):
    """The awaited condition did not hold in time."""


@dataclass
class Soak:
    """All components between meters and store, and the meters of `run`, which send until stopped."""

    stage: IngestSetup
    stores: Stores
    run: str
    rate: float
    chunk_s: float
    """After this many seconds new meters are used; each set of meters has its own plan."""
    patience_s: float
    reports: list[LoadReport] = field(default_factory=list)
    listed_at: list[float] = field(default_factory=list)
    """When the meters of each chunk came into the portfolio, on the monotonic clock."""
    held_mb: list[dict[str, float]] = field(default_factory=list)
    delays: Delays = field(init=False)
    _stop: threading.Event = field(default_factory=threading.Event)
    _failed: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.delays = Delays(f"{self.run}n", self._rows)

    def plan(self, name: str) -> LoadPlan:
        meters = max(1, round(self.rate * min(15.0, self.chunk_s / 2)))
        return LoadPlan(run=name, meters=meters, rate_per_s=self.rate, started_at=datetime.now(UTC))

    def until_something_arrives(self) -> None:
        """Wait for the first readings: the broker drops messages that arrive before there is a subscription."""

        def arrived() -> bool:
            self._send(f"{self.run}warm", 0.5)
            return self.stored(f"{self.run}warm") > 0

        self._list(f"{self.run}warm")
        self._list_ahead()
        self.until("first reading", arrived)

    def _send(self, name: str, seconds: float) -> LoadReport:
        load = MeterLoad(self.plan(name), self.stage.meters_mqtt_url)
        return asyncio.run(load.run(seconds, drain_s=self.patience_s))

    def _list(self, name: str) -> None:
        """List the meters of a plan in the portfolio."""
        list_meters(self.stage.admin_url, self.plan(name))

    def _list_ahead(self) -> None:
        """List the meters of this chunk and the next ones. Those that could not be listed in an outage of the store
        are listed with a later chunk, before they are used."""
        with suppress(psycopg.OperationalError):
            while len(self.listed_at) <= len(self.reports) + CHUNKS_AHEAD:
                self._list(f"{self.run}n{len(self.listed_at)}")
                self.listed_at.append(time.monotonic())

    def _send_chunk(self) -> None:
        """Its meters were listed some chunks ago, because ingest does not read the portfolio in an outage. After a long
        one they are waited for."""
        number = len(self.reports)
        self._list_ahead()
        while len(self.listed_at) <= number or time.monotonic() - self.listed_at[number] < KNOWN_AFTER_S:
            if self._stop.wait(PAUSE_S):
                return
            self._list_ahead()
        self.reports.append(self._send(f"{self.run}n{number}", self.chunk_s))

    @contextmanager
    def meters(self) -> Iterator[None]:
        def keep_sending() -> None:
            try:
                while not self._stop.is_set():
                    self._send_chunk()
            except BaseException as failure:
                self._failed.append(failure)
                raise

        thread = threading.Thread(target=keep_sending, daemon=True)
        thread.start()
        try:
            self.until("reading of the load", lambda: self.stored(f"{self.run}n") > 0)
            yield
        finally:
            self._stop.set()
            thread.join(self.chunk_s + self.patience_s)
            assert not thread.is_alive()
        self.delays.look(to_the_end=True)
        assert self._failed == []

    def kill(self, victim: str) -> None:
        """kill -9 and immediate restart; returns when a reading that was due after the kill is stored."""
        began_at = datetime.now(UTC)
        if victim in WORKERS:
            before = self._at_work(victim)
            self.stage.kill_worker(victim)
            self.stage.start_worker(victim)
            self.until(f"other {victim}", lambda: bool(self._at_work(victim) - before))
        else:
            server = getattr(self.stage.servers, victim)
            server.kill()
            server.start()
        self._over(victim, began_at)

    def stop_store(self, seconds: float) -> None:
        """Stop PostgreSQL for this time."""
        began_at = datetime.now(UTC)
        self.stage.servers.postgres.stop()
        time.sleep(seconds)
        self.stage.servers.postgres.start()
        self._over("store stopped", began_at)

    def _over(self, victim: str, began_at: datetime) -> None:
        outage = Outage(victim, began_at, datetime.now(UTC))
        self.delays.outages.append(outage)
        # Wait until the delay of this outage is over before the next one.
        until = outage.ended_at + timedelta(seconds=_APART_S)
        self.until(f"reading after {victim}", lambda: self._newest_at() > until)

    def until(self, what: str, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                if there():
                    return
            except psycopg.OperationalError:
                time.sleep(0.2)  # the store is itself killed at times
            for name, worker in self.stage.workers.items():
                if worker.poll() is not None:
                    raise AssertionError(f"{name} ended by itself; {self._said()}")
            if time.monotonic() > deadline:
                raise TookTooLong(f"no {what} after {self.patience_s:.0f} s; {self._said()}")
            time.sleep(0.05)

    def _said(self) -> str:
        return str({path.stem: path.read_text()[-2_000:] for path in self.stage.folder.glob("*.log")})

    def _rows(
        self, query: str, parameters: tuple[object, ...] | dict[str, object]
    ) -> list[tuple[object, ...]]:
        with psycopg.connect(self.stage.admin_url, connect_timeout=5) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def _at_work(self, worker: str) -> set[object]:
        return {row[0] for row in self._rows(_AT_WORK, (_SESSIONS[worker],))}

    def stored(self, prefix: str) -> int:
        return int(str(self._rows(_STORED, (prefix,))[0][0]))

    def _newest_at(self) -> datetime:
        newest = self._rows(_NEWEST, ())[0][0]
        return newest if isinstance(newest, datetime) else datetime.min.replace(tzinfo=UTC)

    def audits(self) -> list[LoadAudit]:
        """The audit of each plan, once nothing is missing or the time limit is reached."""
        found = []
        for report in self.reports:
            try:
                self.until("whole run", partial(self._is_whole, report))
            except TookTooLong as error:
                raise TookTooLong(
                    f"{report.plan.run}: {self._audited(report)}, {self._rows(_REFUSED, ())}"
                ) from error
            found.append(self._audited(report))
        return found

    def _is_whole(self, report: LoadReport) -> bool:
        return not missing(report.plan, report.messages, self.stores.stored_readings())

    def _audited(self, report: LoadReport) -> LoadAudit:
        return audit(report.plan, report.messages, self.stores.stored_readings())

    def rolled_up(self, report: LoadReport, *, facilities: int) -> tuple[int, int]:
        """(readings counted by the rollups, readings sent) for some facilities of a plan."""
        plan, rollups = report.plan, self.stores.rollups()
        ids = sorted({plan.named(meter)[0] for meter in range(plan.meters)})[:facilities]
        window = TimeWindow(interval_start(plan.started_at), interval_start(datetime.now(UTC)) + INTERVAL)
        counted = sum(int(rollups.rollups(one, window, 60).columns.readings.sum()) for one in ids)
        mine = (meter for meter in range(plan.meters) if plan.named(meter)[0] in set(ids))
        return counted, sum(plan.rounds_of(meter, report.messages) for meter in mine)

    def note_memory(self) -> None:
        """Record the memory of each process including its children: PostgreSQL has one process per session."""
        self.held_mb.append({name: held_mb(pid) for name, pid in self.stage.pids.items()})


@contextmanager
def soak(*, rate: float, chunk_s: float, patience_s: float = 180.0) -> Iterator[Soak]:
    with open_ingest_setup() as stage, closing(open_stores(stage.settings)) as stores:
        with psycopg.connect(stage.admin_url) as connection:
            keep_commit_times(connection)
        for worker in WORKERS:
            stage.start_worker(worker)
        running = Soak(stage, stores, f"soak{uuid4().hex[:6]}", rate, chunk_s, patience_s)
        running.until_something_arrives()
        yield running
