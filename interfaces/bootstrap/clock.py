"""Wiring of the clock: the one of the settings, and the checks of it against the database."""

from __future__ import annotations

import asyncio
import platform
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from application.ports.clock import Clock
from interfaces.settings.settings import Settings

if TYPE_CHECKING:
    from application.operations.clock_monitor import ClockMonitor
    from application.operations.system_clock import ClockDefinition

FIRST_WITHIN_S = 5.0
"""For the first comparison of the clocks, before the process begins its work."""


def clock_of(settings: Settings) -> Clock:
    """The machine's clock, or the accelerated one that all processes of a demo share."""
    from adapters.clock import AcceleratedClock, SystemClock

    if settings.clock_speed is None or settings.clock_epoch is None or settings.clock_started_at is None:
        return SystemClock()
    return AcceleratedClock(settings.clock_epoch, settings.clock_started_at, settings.clock_speed)


def machine_time() -> datetime:
    """For what belongs to the machine, such as its log files, whatever the system's clock shows."""
    from adapters.clock import SystemClock

    return SystemClock().now()


def accelerated_clock(epoch: datetime, started_at: datetime, speed: float) -> Clock:
    from adapters.clock import AcceleratedClock

    return AcceleratedClock(epoch, started_at, speed)


def wall_time_of(clock: Clock) -> Callable[[datetime], datetime] | None:
    """Clock time -> wall time; None for a clock that does not follow the machine's."""
    from adapters.clock import AcceleratedClock, SystemClock

    return clock.wall_time if isinstance(clock, AcceleratedClock | SystemClock) else None


def clock_monitor(pool: Any, clock: Clock) -> ClockMonitor:
    """Compares the machine's clock with that of the database behind `pool`, and states the alert."""
    from adapters.clock import SystemClock
    from adapters.postgres.operations.alerts import PostgresAlerts
    from adapters.postgres.operations.system_clock import PostgresSystemClock
    from application.operations.clock_monitor import ClockMonitor, SkewAlert, measure_skew
    from interfaces.workers.loops.observer import this_process

    system_clock = PostgresSystemClock(pool)
    return ClockMonitor(
        lambda: measure_skew(system_clock.database_time, wall_now=SystemClock().now),
        SkewAlert(PostgresAlerts(pool), clock, platform.node(), this_process()),
    )


@asynccontextmanager
async def measuring(monitor: ClockMonitor) -> AsyncIterator[None]:
    """Measure in a thread during the block, for the first time before it."""
    stop = threading.Event()
    thread = threading.Thread(target=monitor.run, args=(stop,), name="clock monitor", daemon=True)
    thread.start()
    await asyncio.to_thread(monitor.tried.wait, FIRST_WITHIN_S)
    try:
        yield
    finally:
        stop.set()  # not joined: PostgreSQL may hang just now


def check_system_clock(settings: Settings, pool: Any, *, is_start: bool) -> None:
    """Refuse a clock that is not the one with which the system was started first. `is_start`: this may be the first.

    Raises ClockMismatch or OperationsUnavailable.
    """
    from adapters.clock import SystemClock
    from adapters.postgres.operations.system_clock import PostgresSystemClock
    from application.operations.system_clock import check_clock

    own, stored_clock = definition_of(settings), PostgresSystemClock(pool)
    if is_start:
        stored_clock.store_first(own)
    check_clock(own, stored_clock.stored(), at=SystemClock().now())


def definition_of(settings: Settings) -> ClockDefinition:
    from application.operations.system_clock import ClockDefinition

    if settings.clock_speed is None:
        return ClockDefinition()
    return ClockDefinition(
        epoch=settings.clock_epoch, started_at=settings.clock_started_at, speed=settings.clock_speed
    )
