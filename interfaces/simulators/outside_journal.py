"""Journals of the simulated weather service and meters: what they sent or omitted, and when.

Tests check Gridproof's log against them, so they take no input from that log.
"""

from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

WEATHER_JOURNAL, METER_JOURNAL = "weather-calls.jsonl", "meter-turns.jsonl"


class WeatherCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the weather service, in clock time."""

    at: datetime
    cell: str
    issued_at: datetime | None
    """Of the forecast that was answered; None: the call failed."""


class MeterTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's meters stop or resume publishing."""

    facility_id: str
    turn: Literal["silent", "speaks"]
    at: datetime
    """Of the first reading that was not, or was, published."""


class OutsideJournal:
    """An append-only JSON Lines file; an entry is passed to the operating system before `append` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)

    def append(self, entry: WeatherCall | MeterTurn) -> None:
        self._file.write(msgspec.json.encode(entry) + b"\n")

    def close(self) -> None:
        self._file.close()


Entry = TypeVar("Entry", WeatherCall, MeterTurn)


def read_outside(path: Path, kind: type[Entry]) -> list[Entry]:
    """All entries in order; [] if there is no journal."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=kind) for line in path.read_bytes().split(b"\n")[:-1]]
