"""The `facilities.csv` beside a readings file: which facility lies in which time zone."""

import csv
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from application.ports.readings_file import MissingColumn, UnknownTimeZone, UnreadableFile


def time_zones_beside(readings: Path) -> Mapping[str, ZoneInfo]:
    """Time zones by facility; empty where there is no such file. A facility without one is left out."""
    path = readings.with_name("facilities.csv")
    if path == readings or not path.is_file():
        return {}
    try:
        return _time_zones(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(path, None, f"cannot be read as CSV: {error}") from error


def _time_zones(path: Path) -> Mapping[str, ZoneInfo]:
    found: dict[str, ZoneInfo] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        for name in ("facility", "tz"):
            if name not in (rows.fieldnames or ()):
                raise MissingColumn(path, 1, f"there is no column {name}")
        for row in rows:
            if name := (row["tz"] or "").strip():
                found[(row["facility"] or "").strip()] = _zone(path, rows.line_num, name)
    return found


def _zone(path: Path, line: int, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownTimeZone(path, line, f"there is no time zone {name!r}; use an IANA name") from error
