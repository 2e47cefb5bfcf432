"""Which chunks of a facility are asked for: those of its quarter-hours that begin in a time."""

from datetime import UTC, datetime
from typing import NamedTuple

from domain.telemetry.intervals import INTERVAL, interval_start


class Span(NamedTuple):
    """Chunks of one quarter-hour of a facility that begin in a time. Spans with one `owner` are read as one."""

    owner: int
    facility_id: str
    quarter: datetime
    low: datetime
    high: datetime


def spans_between(owner: int, facility_id: str, starts_from: datetime, ends_at: datetime) -> list[Span]:
    """Of a facility's chunks that hold readings in a time; they may hold others of the same minutes."""
    first = interval_start(starts_from)
    number = -(-(ends_at - first) // INTERVAL)
    low = starts_from.astimezone(UTC).replace(second=0, microsecond=0)
    return [Span(owner, facility_id, first + INTERVAL * n, low, ends_at) for n in range(number)]
