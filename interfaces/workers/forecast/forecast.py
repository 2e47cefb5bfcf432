"""The forecast worker: a cycle at once, and then one in every quarter-hour of the clock."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from application.forecast.cycle import ForecastCycle
from application.forecast.cycle_report import CycleReport
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.operations.unavailable import OperationsUnavailable
from application.ports.telemetry.store import TelemetryStoreUnavailable
from domain.forecast import CYCLE, cycle_start_of
from interfaces.workers.loops.leader_loop import run_as_leader
from projections.queries.views import ReadModelsUnavailable

_log = structlog.get_logger(__name__)
LOCK = "forecast"
UNAVAILABLE = (
    TelemetryStoreUnavailable,
    EventStoreUnavailable,
    ReadModelsUnavailable,
    OperationsUnavailable,
)
"""A store that a cycle needs is away: it is tried again."""
SETTLE = timedelta(seconds=20)
"""Into the quarter-hour, so that the last readings of the one before are stored."""
RETRY_WALL_S = 1.0


async def run(*, cycle: ForecastCycle, clock: Clock, locks: Locks, stop: asyncio.Event) -> None:
    """Until `stop`. Of several workers one is active; a cycle that was missed is not made up for."""
    await run_as_leader(locks, LOCK, lambda: _cycles(cycle, clock, stop), stop=stop)


async def _cycles(cycle: ForecastCycle, clock: Clock, stop: asyncio.Event) -> None:
    # The lock may have been another's meanwhile, also in mid cycle.
    cycle.take_over(cycle_start_of(clock.now()))
    while not stop.is_set():
        began = clock.now()
        try:
            report = await cycle.run(at=began)
        except UNAVAILABLE as error:
            _log.warning("forecast cycle put off", error=str(error))
            cycle.take_over(cycle_start_of(began))
            await _pause(RETRY_WALL_S, stop)
            continue
        tell(report)
        next_start = cycle_start_of(began) + CYCLE
        await _train_until(next_start, report, cycle, clock, stop)
        await _until(next_start + SETTLE, clock, stop)


async def _train_until(
    moment: datetime, report: CycleReport, cycle: ForecastCycle, clock: Clock, stop: asyncio.Event
) -> None:
    try:
        await cycle.train_waiting(report, lambda: not stop.is_set() and clock.now() < moment)
    except UNAVAILABLE as error:
        _log.warning("models put off to the next cycle", error=str(error))


def tell(report: CycleReport) -> None:
    """One line in the log per cycle."""
    _log.info(
        "forecast cycle",
        cycle_start=report.cycle_start.isoformat(),
        issued=len(report.issued),
        reissued=len(report.reissued),
        unchanged=len(report.unchanged),
        kept=len(report.kept),
        already_full=len(report.already_full),
        degraded=len(report.degraded),
        refused=len(report.refused),
        waiting=len(report.waiting),
        conflicts=len(report.conflicts),
        seconds=report.seconds,
    )


async def _until(moment: datetime, clock: Clock, stop: asyncio.Event) -> None:
    await _pause(clock.wall_seconds((moment - clock.now()).total_seconds()), stop)


async def _pause(wall_s: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), max(wall_s, 0.0))
