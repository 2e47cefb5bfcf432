"""The forecast cycles: one forecast cycle at its start, and then one in every quarter-hour of the clock."""

import asyncio
from datetime import datetime, timedelta

import structlog

from application.forecast.cycle import ForecastCycle
from application.forecast.cycle_report import CycleReport
from application.ports.clock import Clock
from application.ports.coordination.locks import Locks
from domain.forecast import CYCLE, cycle_start_of
from interfaces.workers.loops.periodic import PUT_OFF, PeriodicCheck

_log = structlog.get_logger(__name__)
LOCK = "forecast"
STORED_AFTER = timedelta(seconds=20)
"""A cycle begins so long into the quarter-hour, so that the last readings of the previous one are stored."""
RETRY_WALL_S = 1.0


async def run(*, cycle: ForecastCycle, clock: Clock, locks: Locks, stop: asyncio.Event) -> None:
    """Run until `stop`. Of several workers one is active; a missed cycle is not made up for."""

    def reset() -> None:
        """The process that held the lock before may have ended in mid cycle."""
        cycle.take_over(cycle_start_of(clock.now()))

    async def run_cycle() -> float:
        began = clock.now()
        try:
            report = await cycle.run(at=began)
        except PUT_OFF:
            cycle.take_over(cycle_start_of(began))
            raise
        log_report(report)
        next_start = cycle_start_of(began) + CYCLE
        await _train_until(next_start, report, cycle, clock, stop)
        return max(0.0, clock.wall_seconds((next_start + STORED_AFTER - clock.now()).total_seconds()))

    rounds = PeriodicCheck("forecast cycle", run_cycle, every_s=RETRY_WALL_S, lock=LOCK, reset=reset)
    await rounds.run(stop, locks)


async def _train_until(
    moment: datetime, report: CycleReport, cycle: ForecastCycle, clock: Clock, stop: asyncio.Event
) -> None:
    try:
        await cycle.train_waiting(report, lambda: not stop.is_set() and clock.now() < moment)
    except PUT_OFF as error:
        _log.warning("model training put off to the next cycle", error=str(error))


def log_report(report: CycleReport) -> None:
    """One log line per cycle."""
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
