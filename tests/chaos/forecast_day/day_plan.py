"""What befalls a simulated day, by its clock: the outages, who is killed when, and the DR event."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.time_series.windows import TimeWindow
from interfaces.demo.options import EPOCH

SILENT, APPROVED, NOT_APPROVED = "fac-004", "fac-002", "fac-003"
"""The facility whose meter falls silent; and those of the DR event, of which a person approves one."""


def at(clock: str) -> datetime:
    """The moment after the epoch at which it is so late (`HH:MM`, UTC)."""
    hour, minute = clock.split(":")
    moment = EPOCH.replace(hour=int(hour), minute=int(minute))
    return moment if moment >= EPOCH else moment + timedelta(days=1)


def window(starts: str, ends: str) -> TimeWindow:
    return TimeWindow(at(starts), at(ends))


@dataclass(frozen=True, kw_only=True)
class DayPlan:
    """Windows and moments are the clock's. A worker that is killed is started again at once."""

    facilities: int
    speed: float
    slower_when_busy: bool = False
    """Whether a machine that is slow, or has other work, gets a slower clock."""
    head_start_s: float
    """Wall seconds that the clock begins before the epoch, in which everything comes up and the first cycle is made."""
    ends_at: datetime
    weather_down: TimeWindow
    silent: TimeWindow
    cache_lost_at: datetime
    """All forecast workers are killed, and what the cache remembers of the weather is lost."""
    killed_at: tuple[datetime, datetime]
    """From then on the next cycle's worker dies in mid cycle: before its forecasts are recorded, and just after.

    The first is alone; the others start after it died."""
    several: TimeWindow
    """Two more workers run: one waits for the lock, the other holds another one, and makes the same cycles."""
    nobody: TimeWindow | None = None
    """No forecast worker runs at all."""
    dr_event: TimeWindow | None = None
    """Asked for 35 minutes before, in the outage."""


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
"""The same without what takes hours: weather that grows stale, a DR event, scores."""
