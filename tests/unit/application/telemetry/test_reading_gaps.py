"""How the readings of a facility are read for its gaps: in pieces of bounded size, whatever the portfolio lists."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from application.telemetry.reading_gaps import GapSources
from domain.telemetry.meter_reading import MeterReading
from domain.telemetry.reading_arrays import MeterReadings
from domain.telemetry.reading_block import columns_of_meter
from domain.time_series.windows import TimeWindow
from tests.fakes.clock import FakeClock

T0 = datetime(2026, 7, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = TimeWindow(T0, T0 + 24 * HOUR)


@dataclass
class HourlyMeters:
    """So many meters that send once an hour from a moment on."""

    meters: int
    since: datetime
    asked: list[float] = field(default_factory=list)
    """The hours of each query."""

    def meter_readings(self, facility_id: str, window: TimeWindow) -> list[MeterReadings]:
        self.asked.append((window.ends_at - window.starts_at) / HOUR)
        moments = [at for at in (self.since + n * HOUR for n in range(24)) if window.contains(at)]
        if not moments:
            return []
        columns = columns_of_meter(MeterReading(facility_id, "m", at, 1.0, None, None) for at in moments)
        return [MeterReadings(f"m-{n}", columns) for n in range(self.meters)]


def sources(meters: HourlyMeters) -> GapSources:
    return GapSources(meters, FakeClock(DAY.ends_at), timedelta(days=90))


def test_meters_that_are_not_listed_are_read_by_the_hour_once_they_are_seen() -> None:
    sending = HourlyMeters(meters=1_000, since=T0 + 10 * HOUR)
    found = sources(sending).facility_gaps("fac", frozenset(), DAY)
    assert sending.asked == [1.0, 6.0, 6.0, *[1.0] * 11, 0.25]
    assert len(found.meters) == 1_000
    assert sum(hour.readings for hour in found.hours) == 14_000


def test_a_few_meters_are_read_in_pieces_of_hours() -> None:
    sending = HourlyMeters(meters=2, since=T0)
    found = sources(sending).facility_gaps("fac", frozenset({"m-0"}), DAY)
    assert sending.asked == [1.0, 6.0, 6.0, 6.0, 5.25]
    assert ([one.meter_id for one in found.meters], found.strays) == (["m-0"], ("m-1",))
    assert sum(hour.readings for hour in found.hours) == 24
