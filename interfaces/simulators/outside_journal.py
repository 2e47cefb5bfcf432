"""Entries of the journals of the simulated weather service and meters: what they sent or omitted, and when."""

from datetime import datetime
from typing import Literal

import msgspec

WEATHER_JOURNAL, METER_JOURNAL = "weather-calls.jsonl", "meter-turns.jsonl"


class WeatherCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of the weather service, in clock time."""

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
