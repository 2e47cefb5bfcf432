"""Gaps in the readings of a facility's listed meters, by hour, for display and for commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from application.ports.clock import Clock
from application.ports.telemetry.meter_readings import MeterReadingsView
from domain.telemetry.facility_rollups import LOOK_BACK_S
from domain.telemetry.meter_rollups import DEFAULT_CADENCE_S
from domain.telemetry.reading_gaps import HOUR_S, GapColumns, HourCounts, MeterGaps, gaps_of, summed
from domain.time_series.windows import InvalidWindow, TimeWindow

LONGEST = timedelta(days=7)
DEFAULT = timedelta(days=1)
MAX_METER_HOURS = 12_000
"""The longest window of a facility, hours times meters: a day of 500 meters."""
MAX_READINGS = 6_000_000
"""Of a facility in one answer, for meters that send more often than every 15 s."""
_READINGS_AT_ONCE = 400_000
_LONGEST_PIECE_H = 6
"""However few meters have sent so far: a thousand that are not listed may begin at any time."""
IN_TRANSIT = timedelta(seconds=60)
"""A reading younger than this is not missing yet; on an accelerated clock at least IN_TRANSIT_WALL_S."""
IN_TRANSIT_WALL_S = 5.0
_HOUR = timedelta(seconds=HOUR_S)


class ReadingsRemoved(InvalidWindow):
    """The window begins before the single readings that are stored."""


class GapsWindowTooLong(ValueError):
    """The window is longer than one answer may be. The text says how long it may be."""


class FacilityGaps(msgspec.Struct, frozen=True, kw_only=True):
    """The gaps in the readings of a facility."""

    facility_id: str
    window: TimeWindow
    meters: tuple[MeterGaps, ...]
    """The listed ones; those with readings in the window where the portfolio lists none."""
    strays: tuple[str, ...]
    """Other meters with readings in the window: they are not listed."""

    @property
    def hours(self) -> tuple[HourCounts, ...]:
        """The sums over the meters."""
        return summed([one.hours for one in self.meters])

    @property
    def meters_short(self) -> tuple[int, ...]:
        """How many meters miss a reading, by hour."""
        of_hours = zip(*(one.hours for one in self.meters), strict=True)
        return tuple(sum(one.is_short for one in of_hour) for of_hour in of_hours)


@dataclass(frozen=True)
class GapSources:
    """The sources of gaps; single readings older than `retained` may have been deleted."""

    readings: MeterReadingsView
    clock: Clock
    retained: timedelta

    def window(self, first: datetime | None, last: datetime | None, meters: int) -> TimeWindow:
        """The window of an answer for a facility of `meters` meters, from a whole hour on, until now at most.

        Without `first` it is the last day before `last`, or what is possible of it. Raises InvalidWindow or
        GapsWindowTooLong.
        """
        now = self.clock.now().astimezone(UTC)
        wait_s = max(IN_TRANSIT.total_seconds(), IN_TRANSIT_WALL_S / self.clock.wall_seconds(1.0))
        newest = (now - timedelta(seconds=wait_s)).replace(second=0, microsecond=0)
        ends_at = newest if last is None else min(last, newest)
        longest = min(LONGEST, _HOUR * max(1, MAX_METER_HOURS // max(1, meters)))
        # The hour that has begun is shown with the whole ones before it.
        wanted = ends_at - min(DEFAULT, longest - _HOUR) if first is None else first
        starts_at = wanted.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if starts_at < now - self.retained:
            raise ReadingsRemoved(f"single readings are kept for {self.retained.days} days; begin later")
        if ends_at <= starts_at:
            raise InvalidWindow("the window is not over yet, or its end is not after its start")
        if ends_at - starts_at > longest:
            hours = int(longest / _HOUR)
            raise GapsWindowTooLong(
                f"gaps of a facility of {meters} meters are given for at most {hours} h at once"
            )
        return TimeWindow(starts_at, ends_at)

    def facility_gaps(self, facility_id: str, listed: frozenset[str], window: TimeWindow) -> FacilityGaps:
        """`listed`: the meters of the portfolio. Raises TelemetryStoreUnavailable, or GapsWindowTooLong for more
        than MAX_READINGS."""
        found = self._read(facility_id, window, len(listed))
        start_us = int(window.starts_at.timestamp()) * 1_000_000
        inside = {name for name, one in found.items() if one.ts_us[-1] >= start_us}
        return FacilityGaps(
            facility_id=facility_id,
            window=window,
            meters=tuple(gaps_of(one, found.get(one), window) for one in sorted(listed or inside)),
            strays=tuple(sorted(inside - listed)) if listed else (),
        )

    def _read(self, facility_id: str, window: TimeWindow, meters: int) -> dict[str, GapColumns]:
        """The readings from a quarter-hour before the window on, in pieces: only what is needed of each stays.

        The first piece is one hour, and shows how many meters send.
        """
        parts: dict[str, list[GapColumns]] = {}
        count, hours = 0, 1
        starts_at = window.starts_at - timedelta(seconds=LOOK_BACK_S)
        while starts_at < window.ends_at:
            ends_at = min(window.ends_at, starts_at + _HOUR * hours)
            for one in self.readings.meter_readings(facility_id, TimeWindow(starts_at, ends_at)):
                parts.setdefault(one.meter_id, []).append(GapColumns.of(one.columns))
                count += len(one.columns)
            if count > MAX_READINGS:
                raise GapsWindowTooLong(
                    f"{facility_id} has more than {MAX_READINGS} readings in that time; ask for less of it"
                )
            starts_at, hours = ends_at, _piece_h(max(meters, len(parts)))
        return {meter_id: GapColumns.joined(some) for meter_id, some in parts.items()}


def _piece_h(meters: int) -> int:
    """Hours with about _READINGS_AT_ONCE readings of so many meters."""
    per_meter = int(_READINGS_AT_ONCE * DEFAULT_CADENCE_S / HOUR_S)
    return max(1, min(_LONGEST_PIECE_H, per_meter // max(1, meters)))
