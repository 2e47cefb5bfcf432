"""The plan of a simulated day in clock time: outages, kills and the DR event."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.time_series.windows import TimeWindow
from interfaces.demo.options import EPOCH

SILENT, APPROVED, NOT_APPROVED = "fac-004", "fac-002", "fac-003"
"""The facility whose meter stops sending; and the facilities of the DR event, of which an operator approves one."""


def at(clock: str) -> datetime:
    """The first time after the epoch with this time of day (`HH:MM`, UTC)."""
    hour, minute = clock.split(":")
    moment = EPOCH.replace(hour=int(hour), minute=int(minute))
    return moment if moment >= EPOCH else moment + timedelta(days=1)


def window(starts: str, ends: str) -> TimeWindow:
    return TimeWindow(at(starts), at(ends))


@dataclass(frozen=True, kw_only=True)
class DayPlan:
    """Windows and times are clock time. A killed worker is restarted at once."""

    facilities: int
    speed: float
    slower_when_busy: bool = False
    """Whether the clock is slowed down on a slow or busy machine."""
    head_start_s: float
    """Wall seconds before the epoch at which the clock starts, for startup and the first cycle."""
    ends_at: datetime
    weather_down: TimeWindow
    silent: TimeWindow
    cache_lost_at: datetime
    """All compute workers are killed, and the cached weather is lost."""
    killed_at: tuple[datetime, datetime]
    """From each time on, the worker of the next cycle is killed within it: before and after it records its forecasts.

    At the first time one worker runs; the others start after its death."""
    several: TimeWindow
    """Two more workers run: one waits for the lock, the other uses another lock and makes the same cycles."""
    nobody: TimeWindow | None = None
    """A window in which no compute worker runs."""
    dr_event: TimeWindow | None = None
    """Requested 35 minutes before its start, during the outage."""


LONG = DayPlan(
    facilities=12,
    speed=60.0,
    head_start_s=40.0,
    ends_at=EPOCH + timedelta(hours=24) - timedelta(minutes=2),
    weather_down=window("01:20", "06:20"),
    silent=window("05:30", "06:45"),
    cache_lost_at=at("05:35"),
    killed_at=(at("23:05"), at("01:50")),
    several=window("00:25", "02:55"),
    nobody=window("09:05", "09:50"),
    dr_event=window("05:00", "05:30"),
)
SHORT = DayPlan(
    facilities=5,
    speed=120.0,
    slower_when_busy=True,
    head_start_s=15.0,
    ends_at=at("22:40"),
    weather_down=window("21:35", "22:05"),
    silent=window("21:30", "22:15"),
    cache_lost_at=at("21:37"),
    killed_at=(at("21:18"), at("21:47")),
    several=window("21:38", "22:20"),
)
"""Like LONG, without what takes hours: stale weather, a DR event, scores."""
