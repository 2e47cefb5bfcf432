"""A running system with its buildings, taken through the phases of DR events, and what each phase took."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg

from application.commands.dr_event import EndDREvent, StartDREvent, StartPreparation
from application.facility.portfolio_entries import FacilityEntry
from interfaces.bootstrap.stores import Stores
from interfaces.settings.settings import Settings
from tests.bench.dispatch.dispatch_setup import (
    CONTEXT,
    NOTICE,
    PER_DR_EVENT,
    Processes,
    accepted,
    register,
    running,
    served,
)
from tests.bench.dispatch.setup import bench_nats, bench_settings, stores_at
from tests.bench.environment import BenchEnvironment

FACILITIES, CALLS_AT_ONCE = 500, 100
PATIENCE_S = 180.0
SCHEDULED, PREPARED = "dr-event.scheduled.v1", "dispatch.prepared.v1"
COMMITTED, RESTORED = "dispatch.committed.v1", "dispatch.restored.v1"
REQUESTED, DELIVERED = "dr-event.callback-requested.v1", "dr-event.callback-delivered.v1"


class Phase(NamedTuple):
    """What one phase took."""

    took_s: dict[str, float]
    """Topic -> wall seconds from the first command to the last awaited domain event of the topic."""
    cpu_s: dict[str, float]
    """Kind of worker -> processor seconds."""
    shares: list[float]
    """The share of each dispatch worker in the commands that the BMSs carried out."""


class DREvents(NamedTuple):
    """DR events over some of the buildings."""

    ids: list[UUID]
    facilities: int


@dataclass(frozen=True)
class System:
    """Workers and buildings as processes, on a fresh database."""

    settings: Settings
    entries: list[FacilityEntry]
    processes: Processes
    recorded: Recorded
    now: datetime
    """The moment of the notifications. The DR events start an hour later, and last an hour."""

    def prepare(self, entries: Sequence[FacilityEntry], callback_url: str | None = None) -> DREvents:
        """Bring DR events over the buildings to their preparation. All workers are idle afterwards."""
        ids: list[UUID] = []
        self._took_s(
            lambda: ids.extend(accepted(self.settings, entries, self.now, callback_url)),
            {SCHEDULED: math.ceil(len(entries) / PER_DR_EVENT)},
        )
        dr_events = DREvents(ids, len(entries))
        self._phase(NOTICE, [StartPreparation(dr_event_id=one) for one in ids], {PREPARED: len(entries)})
        self.until(lambda: self.recorded.number_of(DELIVERED) >= self.recorded.number_of(REQUESTED))
        self.until_quiet()
        return dr_events

    def start(
        self,
        dr_events: DREvents,
        *,
        hanging: int = 0,
        awaited: Mapping[str, int] | None = None,
        beside: Callable[[Stores], object] = lambda _: None,
    ) -> Phase:
        """The commit phase of all buildings but those that hang. `beside` is done in the moment of the start."""
        commands = [StartDREvent(dr_event_id=one) for one in dr_events.ids]
        awaited = {COMMITTED: dr_events.facilities - hanging} | dict(awaited or {})
        return self._phase(NOTICE, commands, awaited, beside)

    def end(self, dr_events: DREvents) -> Phase:
        """The end phase: from the end of the windows, at which all clocks stand, to the last recorded restore."""
        self.until_quiet()
        self.processes.ahead_s.value = (2 * NOTICE).total_seconds()
        commands = [EndDREvent(dr_event_id=one) for one in dr_events.ids]
        return self._phase(2 * NOTICE, commands, {RESTORED: dr_events.facilities})

    def _phase(
        self,
        ahead: timedelta,
        commands: Sequence[msgspec.Struct],
        awaited: Mapping[str, int],
        beside: Callable[[Stores], object] = lambda _: None,
    ) -> Phase:
        """Give the commands at the moment `now` + `ahead`, until so many domain events of each topic are recorded."""
        with closing(stores_at(self.settings, self.now + ahead)) as stores:

            def give() -> None:
                for command in commands:
                    stores.bus.handle(command, CONTEXT)

            beside(stores)
            cpu_before, carried_before = self._cpu_s(), self._carried_out()
            took_s = self._took_s(give, awaited)
            cpu_s, carried = self._cpu_s(), self._carried_out()
        mine = [after - before for before, after in zip(carried_before, carried, strict=True)]
        spent = {name: seconds - cpu_before[name] for name, seconds in cpu_s.items()}
        return Phase(took_s, spent, [commands / max(1, sum(mine)) for commands in mine])

    def _took_s(self, do: Callable[[], None], awaited: Mapping[str, int]) -> dict[str, float]:
        due = {topic: self.recorded.number_of(topic) + more for topic, more in awaited.items()}
        took_s: dict[str, float] = {}

        def are_recorded() -> bool:
            for topic in due.keys() - took_s.keys():
                if self.recorded.number_of(topic) >= due[topic]:
                    took_s[topic] = time.perf_counter() - began
            return took_s.keys() == due.keys()

        began = time.perf_counter()
        do()
        self.until(are_recorded)
        return took_s

    def until(self, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not there():
            if any(not worker.is_alive() for worker in self.processes.workers):
                raise RuntimeError("a worker process of the benchmark ended")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the benchmark did not come to its end in {PATIENCE_S:.0f} s")
            time.sleep(0.02)

    def until_quiet(self) -> None:
        """Wait until the workers have finished all earlier work."""
        idle = 0
        while idle < 3:
            before = sum(self._cpu_s().values())
            time.sleep(0.5)
            idle = idle + 1 if sum(self._cpu_s().values()) - before < 0.25 else 0

    def _carried_out(self) -> list[int]:
        return [commands.value for commands in self.processes.carried_out]

    def _cpu_s(self) -> dict[str, float]:
        """User and system time so far, by the processes' names."""
        spent: dict[str, float] = {}
        for process in self.processes.workers:
            spent[process.name] = spent.get(process.name, 0.0) + _cpu_of(process)
        return spent


@contextmanager
def system(
    env: BenchEnvironment,
    count: int,
    *,
    hanging: int = 0,
    others: Sequence[str] = (),
    otlp_url: str | None = None,
) -> Iterator[System]:
    """A running system with so many registered buildings. `others`: its workers beside decide and dispatch."""
    now = datetime.now(UTC)
    with ExitStack() as stack:
        database = stack.enter_context(env.database())
        nats_url = stack.enter_context(bench_nats())
        entries = stack.enter_context(served(count, hanging=hanging))
        settings = bench_settings(database.app_url, nats_url, calls_at_once=at_once(env))
        settings = replace(settings, otlp_url=otlp_url)
        log = stack.enter_context(psycopg.connect(database.owner_url, autocommit=True))
        register(settings, entries, now)
        processes = stack.enter_context(running(settings, others))
        yield System(settings, entries, processes, Recorded(log), now)


def facilities(env: BenchEnvironment) -> int:
    return env.sized(FACILITIES, least=2)


def at_once(env: BenchEnvironment) -> int:
    return min(CALLS_AT_ONCE, facilities(env))


class Recorded:
    """Counts domain events by topic. It reads each event only once, since it is polled fifty times a second."""

    def __init__(self, log: psycopg.Connection[tuple[object, ...]]) -> None:
        self._log = log
        self._position = 0
        self._numbers: Counter[str] = Counter()

    def number_of(self, topic: str) -> int:
        rows = self._log.execute(
            "SELECT notification_id, topic FROM gridproof.demand_response_events WHERE notification_id > %s",
            (self._position,),
        ).fetchall()
        for position, found in rows:
            self._position = max(self._position, int(str(position)))
            self._numbers[str(found)] += 1
        return self._numbers[topic]


def _cpu_of(process: BaseProcess) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
