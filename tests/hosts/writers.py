"""Writers that know what was acknowledged to them, one on each side of a partition."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Event
from uuid import uuid4

import psycopg

from adapters.postgres.connection.dsn import for_failover
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.command_bus.bus import CommandBus
from application.commands.facility import RegisterFacility
from application.event_store.demand_response import DemandResponse
from application.handlers import HANDLERS
from application.ports.event_store.event_store import EventStoreUnavailable
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.hosts.network import Host
from tests.sample_values import CONTEXT, NOW, facility_entry

PAUSE_S = 0.02


@dataclass
class CommandWriter:
    """Registers one facility after the other through the product's event store."""

    host: Host
    dsn: str
    acknowledged: list[tuple[float, str]] = field(default_factory=list)
    """When (monotonic), facility."""

    def running(self) -> AbstractContextManager[None]:
        return self.host.running(self._write)

    def _write(self, stop: Event) -> None:
        with closing(PostgresEventStore(DemandResponse, for_failover(self.dsn))) as store:
            bus = CommandBus(store, FakeClock(NOW), HANDLERS, forecasts=FakeForecastBook())
            while not stop.wait(PAUSE_S):
                facility_id = f"fac-{uuid4().hex}"
                try:
                    bus.handle(RegisterFacility(entry=facility_entry(facility_id)), CONTEXT)
                except EventStoreUnavailable:
                    continue
                self.acknowledged.append((time.monotonic(), facility_id))

    def wait_for(self, count: int, *, after: float = 0.0, within_s: float) -> float:
        """The seconds from `after` until so many were acknowledged since then."""
        deadline = time.monotonic() + within_s
        while len(since := [at for at, _ in self.acknowledged if at > after]) < count:
            assert time.monotonic() < deadline, f"{len(since)} of {count} acknowledged within {within_s:g} s"
            time.sleep(0.05)
        return since[count - 1] - after

    def longest_pause_s(self, *, since: float) -> float:
        """The longest time without an acknowledgement."""
        times = [at for at, _ in self.acknowledged if at > since]
        return max(later - earlier for earlier, later in pairwise([since, *times]))

    def lost(self) -> set[str]:
        """What was acknowledged and is not in the log."""

        def read() -> set[str]:
            with closing(PostgresEventStore(DemandResponse, for_failover(self.dsn))) as store:
                streams = {facility_stream_id(name): name for _, name in self.acknowledged}
                return {
                    streams[key] for key in streams.keys() - store.load_many(Facility, list(streams)).keys()
                }

        return self.host.call(read)


@dataclass
class RowWriter:
    """Inserts numbers at one server, which may be about to be no primary any more."""

    host: Host
    dsn: str
    acknowledged: list[int] = field(default_factory=list)

    def running(self) -> AbstractContextManager[None]:
        return self.host.running(self._write)

    def _write(self, stop: Event) -> None:
        number = 0
        while not stop.is_set():
            try:
                with psycopg.connect(self.dsn, autocommit=True, connect_timeout=2) as connection:
                    while not stop.wait(PAUSE_S):
                        number += 1
                        connection.execute("INSERT INTO inside VALUES (%s)", (number,))
                        self.acknowledged.append(number)
            except psycopg.Error:
                stop.wait(PAUSE_S)
