"""The `facilities.csv` beside a readings file: the time zone of each facility."""

import csv
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from application.ports.history_import import ClockChange, MissingColumn, UnknownTimeZone, UnreadableFile


def time_zones_beside(readings: Path) -> Mapping[str, ZoneInfo]:
    """Time zones by facility; empty where there is no such file. A facility without a time zone is left out."""
    path = readings.with_name("facilities.csv")
    if path == readings or not path.is_file():
        return {}
    try:
        return _time_zones(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(path, None, f"cannot be read as CSV: {error}") from error


def _time_zones(path: Path) -> Mapping[str, ZoneInfo]:
    result: dict[str, ZoneInfo] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        for name in ("facility", "tz"):
            if name not in (rows.fieldnames or ()):
                raise MissingColumn(path, 1, f"there is no column {name}")
        for row in rows:
            if name := (row["tz"] or "").strip():
                result[(row["facility"] or "").strip()] = _zone(path, rows.line_num, name)
    return result


def _zone(path: Path, line: int, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownTimeZone(path, line, f"there is no time zone {name!r}; use an IANA name") from error


def clock_changes_in(
    zones: Mapping[str, ZoneInfo], first_year: int, last_year: int
) -> dict[str, list[ClockChange]]:
    """The clock changes of each facility, in order."""
    of_zone = {zone: list(_clock_changes(zone, first_year, last_year)) for zone in set(zones.values())}
    return {facility_id: of_zone[zone] for facility_id, zone in zones.items()}


def _clock_changes(zone: ZoneInfo, first_year: int, last_year: int) -> Iterator[ClockChange]:
    """Clocks change at most once a day, on a whole minute."""
    day, before = timedelta(days=1), datetime(first_year, 1, 1, tzinfo=UTC)
    while before.year <= last_year:
        shift = _offset(zone, before + day) - _offset(zone, before)
        if shift:
            at = next(
                moment
                for moment in (before + timedelta(minutes=n) for n in range(1, 24 * 60 + 1))
                if _offset(zone, moment) != _offset(zone, before)
            )
            yield ClockChange(at, int(shift.total_seconds()))
        before += day


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()
