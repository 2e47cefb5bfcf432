"""Runs the dispatch benchmark's buildings and workers as processes, and makes DR events over its buildings."""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from typing import NamedTuple
from uuid import UUID, uuid4

from msgspec.structs import replace

from application.command_bus.batching import MAX_BATCH_SIZE
from application.command_bus.bus import CommandBus, CommandRequest
from application.command_bus.decision_context import CommandContext
from application.commands.dr_event import JudgeNotification
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import (
    BmsEntry,
    FacilityEntry,
    MeterEntry,
    ProgramEntry,
    ZoneEntry,
)
from domain.dr_event import Notice
from domain.event_sourcing.aggregate import Provenance
from domain.forecast import CYCLE, Forecast, ForecastInputs, ForecastModel, QuantileSteps, cycle_start_of
from interfaces.settings.settings import Settings
from tests.bench.dispatch.bms_host import host
from tests.bench.dispatch.setup import (
    run_bench_dispatch,
    run_bench_worker,
    save_forecasts,
    stores_at,
)
from tests.patience import END_S

ZONES, PER_DR_EVENT = 3, 50
ANSWER_S = 0.2
BMS_HOSTS, DISPATCHERS = 2, 2
NOTICE = timedelta(hours=1)
CONTEXT = CommandContext(
    correlation_id=uuid4(),
    causation_id=uuid4(),
    actor="bench",
    tenant="bench",
    trace_id="0af7651916cd43dd8448eb211c80319c",
)


class Processes(NamedTuple):
    """The worker processes of a run, and what they share with it."""

    workers: list[BaseProcess]
    ahead_s: ctypes.c_double
    """How far their clocks are ahead of the machine's."""
    carried_out: list[ctypes.c_long]
    """The commands that the BMSs have carried out, for each dispatch worker."""


@contextmanager
def served(count: int, *, hanging: int = 0) -> Iterator[list[FacilityEntry]]:
    """Yields the facilities, with BMSs served by other processes. The first `hanging` never answer a commit."""
    context = multiprocessing.get_context("spawn")
    ids = [f"fac-{number:04}" for number in range(count)]
    with ExitStack() as stack:
        entries: list[FacilityEntry] = []
        for number in range(BMS_HOSTS):
            mine = ids[number::BMS_HOSTS]
            here, there = context.Pipe()
            unaddressed = tuple(_facility(facility_id, 1) for facility_id in mine)
            arguments = (unaddressed, ANSWER_S, frozenset(ids[:hanging]), there)
            stack.enter_context(_ended(context.Process(target=host, args=arguments, daemon=True)))
            if not here.poll(60):
                raise TimeoutError("the simulated BMSs did not start")
            ports: dict[str, int] = here.recv()
            entries += [_facility(facility_id, port) for facility_id, port in ports.items()]
        yield sorted(entries, key=lambda entry: entry.facility_id)


@contextmanager
def running(settings: Settings, others: Sequence[str] = ()) -> Iterator[Processes]:
    """Runs decide, the dispatch workers and the workers named in `others`."""
    context = multiprocessing.get_context("spawn")
    ahead_s = context.RawValue(ctypes.c_double, 0.0)
    carried_out = [context.RawValue(ctypes.c_long, 0) for _ in range(DISPATCHERS)]
    with ExitStack() as stack:
        targets: list[tuple[str, Callable[..., None], tuple[object, ...]]] = [
            *[(name, run_bench_worker, (name, settings, ahead_s)) for name in ("decide", *others)],
            *[("dispatch", run_bench_dispatch, (settings, ahead_s, commands)) for commands in carried_out],
        ]
        workers = []
        for name, target, arguments in targets:
            process = context.Process(target=target, args=arguments, name=name, daemon=True)
            workers.append(stack.enter_context(_ended(process)))
        yield Processes(workers, ahead_s, carried_out)


@contextmanager
def _ended(process: BaseProcess) -> Iterator[BaseProcess]:
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join(timeout=END_S)
        if process.is_alive():
            process.kill()


def _facility(facility_id: str, port: int) -> FacilityEntry:
    return FacilityEntry(
        facility_id=facility_id,
        meters=(MeterEntry(meter_id="main"),),
        zones=tuple(
            ZoneEntry(zone_id=f"zone-{n}", curtailable_kw=30.0, rebound_ramp_s=0) for n in range(ZONES)
        ),
        bms=BmsEntry(address=f"http://127.0.0.1:{port}/buildings/{facility_id}/bms"),
        programs=("bench",),
    )


def register(settings: Settings, entries: Sequence[FacilityEntry], now: datetime) -> None:
    """Register the facilities, with forecasts, and agree the program."""
    save_forecasts(str(settings.database_url), [_forecast(entry.facility_id, now) for entry in entries])
    with closing(stores_at(settings, now)) as stores:
        program = ProgramEntry(program_id="bench", utility_id="bench", forecast_guardrail="warn")
        stores.bus.handle(AgreeProgram(entry=program), CONTEXT)
        for entry in entries:
            stores.bus.handle(RegisterFacility(entry=entry), CONTEXT)


def accepted(
    settings: Settings, entries: Sequence[FacilityEntry], now: datetime, callback_url: str | None = None
) -> list[UUID]:
    """Accept DR events over all facilities; they start in an hour."""
    ids = [entry.facility_id for entry in entries]
    with closing(stores_at(settings, now)) as stores:
        return [
            _judged(stores.bus, tuple(ids[first : first + PER_DR_EVENT]), now, callback_url)
            for first in range(0, len(ids), PER_DR_EVENT)
        ]


def judge_rejected(settings: Settings, utility_id: str, callback_url: str, count: int, now: datetime) -> None:
    """Judge notifications of a utility that has no program: each is rejected, and the utility is to be told."""
    context = replace(CONTEXT, tenant=utility_id)
    notices = [
        _notice((), now, callback_url, notification_id=f"rejected-{number}") for number in range(count)
    ]
    commands = [
        JudgeNotification(utility_id=utility_id, utility_event_id=notice.notification_id, notice=notice)
        for notice in notices
    ]
    with closing(stores_at(settings, now)) as stores:
        for first in range(0, count, MAX_BATCH_SIZE):
            batch = commands[first : first + MAX_BATCH_SIZE]
            for outcome in stores.bus.handle_all([CommandRequest(command, context) for command in batch]):
                if outcome.error is not None or outcome.reply.status != "rejected":
                    raise RuntimeError(f"the benchmark's notification was not rejected: {outcome}")


def _judged(bus: CommandBus, facility_ids: tuple[str, ...], now: datetime, callback_url: str | None) -> UUID:
    notice = _notice(facility_ids, now, callback_url, notification_id=facility_ids[0])
    command = JudgeNotification(utility_id="bench", utility_event_id=facility_ids[0], notice=notice)
    judgement = bus.handle(command, CONTEXT)
    if judgement.status != "accepted":
        raise RuntimeError(f"the benchmark's DR event was not accepted: {judgement}")
    return UUID(str(judgement.dr_event_id))


def _notice(
    facility_ids: tuple[str, ...], now: datetime, callback_url: str | None, *, notification_id: str
) -> Notice:
    return Notice(
        notification_id=notification_id,
        modification_number=0,
        program_id="bench",
        starts_at=now + NOTICE,
        ends_at=now + 2 * NOTICE,
        target_kw=max(60.0, 60.0 * len(facility_ids)),
        facility_ids=facility_ids,
        priority=1,
        callback_url=callback_url,
    )


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
