"""The commit phase of many buildings: from the start of their DR events until every commit is on record.

Real processes (relay, two dispatch workers), real store, real queue, SOAP buildings in processes of their own that take
200 ms for an answer. Read models are not part of it: nothing of the commit phase rests on them. Theory: as many rounds
of answers as calls at once allow. Floor: bare aiohttp with the same calls.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from application.command_bus import CommandBus
from application.commands.dr_event import JudgeNotification, StartDREvent, StartPreparation
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.deciding import CommandContext
from application.portfolio import BmsEntry, FacilityEntry, MeterEntry, ProgramEntry, ZoneEntry
from domain.dr_event import Notice
from domain.event_sourcing import Provenance
from domain.forecast import CYCLE, Forecast, ForecastInputs, ForecastModel, QuantileSteps, cycle_start_of
from interfaces.bench.bed import Bed
from interfaces.bench.bms_floor import bare_seconds
from interfaces.bench.bms_host import host
from interfaces.bench.figures import Figure, figure
from interfaces.bootstrap.bench_dispatch import (
    bench_queue,
    bench_settings,
    run_bench_dispatch,
    run_bench_worker,
    save_forecasts,
    stores_at,
)
from interfaces.bootstrap.stores import Stores
from interfaces.settings import Settings

FACILITIES, ZONES, PER_DR_EVENT = 500, 3, 50
ANSWER_S, CALLS_AT_ONCE = 0.2, 100
BMS_HOSTS, DISPATCHERS = 2, 2
NOTICE = timedelta(hours=1)
PATIENCE_S = 180.0
CONTEXT = CommandContext(
    correlation_id=uuid4(), causation_id=uuid4(), actor="bench", tenant="bench", trace_id="0" * 32
)


def dispatch(bed: Bed) -> list[Figure]:
    """Seconds of the commit phase, against bare aiohttp and beside the theory."""
    count = bed.sized(FACILITIES, least=2)
    at_once = min(CALLS_AT_ONCE, count)
    calls = count * ZONES
    bed.tell(f"dispatch: {calls} calls of {ANSWER_S:g} s, {at_once} at once")
    with ExitStack() as stack:
        database = stack.enter_context(bed.database())
        nats_url = stack.enter_context(bench_queue())
        entries = stack.enter_context(_served(count))
        floor = bare_seconds(entries, at_once=at_once)
        bed.tell(f"dispatch: bare aiohttp took {floor:.2f} s")
        settings = bench_settings(database.app_url, nats_url, calls_at_once=at_once)
        log = stack.enter_context(psycopg.connect(database.owner_url, autocommit=True))
        now = datetime.now(UTC)  # noqa: TID251 - the workers' clock is the machine's
        dr_event_ids = _accepted(settings, entries, now)
        workers = stack.enter_context(_running(settings, [entry.facility_id for entry in entries]))
        stores = stack.enter_context(closing(stores_at(settings, now + NOTICE)))
        ours, cpu_s = _commit_phase(stores, log, workers, dr_event_ids=dr_event_ids, count=count)
    theory = math.ceil(calls / at_once) * ANSWER_S
    details: dict[str, float | str] = {
        "calls": calls,
        "at_once": at_once,
        "theory_s": theory,
        **{f"{name}_cpu_s": round(seconds, 2) for name, seconds in cpu_s.items()},
        "floor": "the same commits by bare aiohttp from one process, encoded before, answers unread",
    }
    return [
        figure(
            "dispatch, commit phase", unit="s", ours=ours, floor=floor, lower_is_better=True, details=details
        )
    ]


@contextmanager
def _served(count: int) -> Iterator[list[FacilityEntry]]:
    """The facilities, their BMSs answering in other processes."""
    context = multiprocessing.get_context("spawn")
    ids = [f"fac-{number:03}" for number in range(count)]
    with ExitStack() as stack:
        entries: list[FacilityEntry] = []
        for number in range(BMS_HOSTS):
            mine = ids[number::BMS_HOSTS]
            here, there = context.Pipe()
            unaddressed = tuple(_facility(facility_id, 1) for facility_id in mine)
            process = context.Process(target=host, args=(unaddressed, ANSWER_S, there), daemon=True)
            stack.enter_context(_ended(process))
            if not here.poll(60):
                raise TimeoutError("the simulated BMSs did not start")
            port = here.recv()
            entries += [_facility(facility_id, port) for facility_id in mine]
        yield sorted(entries, key=lambda entry: entry.facility_id)


@contextmanager
def _running(settings: Settings, facility_ids: list[str]) -> Iterator[list[BaseProcess]]:
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        targets: list[tuple[str, Callable[..., None], tuple[object, ...]]] = [
            ("relay", run_bench_worker, ("relay", settings)),
            *[("dispatch", run_bench_dispatch, (settings, facility_ids))] * DISPATCHERS,
        ]
        processes = []
        for name, target, arguments in targets:
            process = context.Process(target=target, args=arguments, name=name, daemon=True)
            processes.append(stack.enter_context(_ended(process)))
        yield processes


@contextmanager
def _ended(process: BaseProcess) -> Iterator[BaseProcess]:
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join(timeout=10)
        if process.is_alive():
            process.kill()


def _facility(facility_id: str, port: int) -> FacilityEntry:
    return FacilityEntry(
        facility_id=facility_id,
        meters=(MeterEntry(meter_id="main"),),
        zones=tuple(ZoneEntry(zone_id=f"zone-{n}", curtailable_kw=30.0) for n in range(ZONES)),
        bms=BmsEntry(address=f"http://127.0.0.1:{port}/buildings/{facility_id}/bms"),
        programs=("bench",),
    )


def _accepted(settings: Settings, entries: Sequence[FacilityEntry], now: datetime) -> list[UUID]:
    """DR events over all facilities, accepted; they start in an hour."""
    save_forecasts(str(settings.database_url), [_forecast(entry.facility_id, now) for entry in entries])
    with closing(stores_at(settings, now)) as stores:
        program = ProgramEntry(program_id="bench", utility_id="bench", forecast_guardrail="warn")
        stores.bus.handle(AgreeProgram(entry=program), CONTEXT)
        for entry in entries:
            stores.bus.handle(RegisterFacility(entry=entry), CONTEXT)
        ids = [entry.facility_id for entry in entries]
        return [
            _judged(stores.bus, tuple(ids[first : first + PER_DR_EVENT]), now)
            for first in range(0, len(ids), PER_DR_EVENT)
        ]


def _judged(bus: CommandBus, facility_ids: tuple[str, ...], now: datetime) -> UUID:
    notice = Notice(
        notification_id=facility_ids[0],
        modification_number=0,
        program_id="bench",
        starts_at=now + NOTICE,
        ends_at=now + 2 * NOTICE,
        target_kw=60.0 * len(facility_ids),
        facility_ids=facility_ids,
        priority=1,
    )
    command = JudgeNotification(utility_id="bench", utility_event_id=facility_ids[0], notice=notice)
    judgement = bus.handle(command, CONTEXT)
    if judgement.status != "accepted":
        raise RuntimeError(f"the benchmark's DR event was not accepted: {judgement}")
    return UUID(str(judgement.dr_event_id))


def _forecast(facility_id: str, now: datetime) -> Forecast:
    steps, cycle = 4 * 25, cycle_start_of(now)
    provenance = Provenance(
        correlation_id=CONTEXT.correlation_id,
        causation_id=CONTEXT.causation_id,
        actor="bench",
        tenant=None,
        trace_id=CONTEXT.trace_id,
        recorded_at=now,
    )
    return Forecast.issue(
        provenance,
        facility_id=facility_id,
        cycle_start=cycle,
        inputs=ForecastInputs(
            input_hash=facility_id,
            newest_reading_at=cycle,
            sensor_coverage_pct=100.0,
            weather_available=True,
            weather_age_s=60.0,
        ),
        model=ForecastModel(name="bench", version="1", trained_at=now),
        steps=QuantileSteps(
            starts_at=cycle,
            step_s=int(CYCLE.total_seconds()),
            p10_kw=(360.0,) * steps,
            p50_kw=(400.0,) * steps,
            p90_kw=(440.0,) * steps,
        ),
    )


def _commit_phase(
    stores: Stores,
    log: psycopg.Connection[tuple[object, ...]],
    workers: Sequence[BaseProcess],
    *,
    dr_event_ids: Sequence[UUID],
    count: int,
) -> tuple[float, dict[str, float]]:
    """Wall seconds from the starts to the last `Dispatch.Committed`; processor seconds by kind of worker."""
    _until(workers, lambda: _recorded(log, "dr-event.scheduled.v1") == len(dr_event_ids))
    for dr_event_id in dr_event_ids:
        stores.bus.handle(StartPreparation(dr_event_id=dr_event_id), CONTEXT)
    _until(workers, lambda: _recorded(log, "dispatch.prepared.v1") == count)
    _until_quiet(workers)
    cpu_before, began = _cpu_s(workers), time.perf_counter()
    for dr_event_id in dr_event_ids:
        stores.bus.handle(StartDREvent(dr_event_id=dr_event_id), CONTEXT)
    _until(workers, lambda: _recorded(log, "dispatch.committed.v1") >= count)
    took, cpu = time.perf_counter() - began, _cpu_s(workers)
    return took, {name: seconds - cpu_before[name] for name, seconds in cpu.items()}


def _until(workers: Sequence[BaseProcess], there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not there():
        if any(not worker.is_alive() for worker in workers):
            raise RuntimeError("a worker process of the benchmark ended")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the benchmark did not come to its end in {PATIENCE_S:.0f} s")
        time.sleep(0.02)


def _until_quiet(workers: Sequence[BaseProcess]) -> None:
    """Until the workers have nothing left to do of what came before."""
    idle = 0
    while idle < 3:
        before = sum(_cpu_s(workers).values())
        time.sleep(0.5)
        idle = idle + 1 if sum(_cpu_s(workers).values()) - before < 0.25 else 0


def _recorded(log: psycopg.Connection[tuple[object, ...]], topic: str) -> int:
    row = log.execute(
        "SELECT count(*) FROM gridproof.demand_response_events WHERE topic = %s", (topic,)
    ).fetchone()
    return 0 if row is None else int(str(row[0]))


def _cpu_s(processes: Sequence[BaseProcess]) -> dict[str, float]:
    """User and system time so far, by the processes' names."""
    spent: dict[str, float] = {}
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        spent[process.name] = spent.get(process.name, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
    return spent
