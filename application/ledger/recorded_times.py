"""Domain events whose time lies outside the checkpoints around them: dated back, or by a clock that was wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from application.ledger.sealed_intervals import SealedInterval
from domain.ledger.entries import RECORDED_BYTES, RECORDED_MARK, positions_of

TOLERANCE = timedelta(seconds=60)
"""Between the decision and the row in the log: a save may wait that long. At an accelerated clock, as many of its
seconds as pass in that time."""
_BEGINS = len(RECORDED_MARK)
_TO_THE_SECOND = len("2026-07-14T21:00:15")
_SECOND_END, _FRACTION_END = _BEGINS + _TO_THE_SECOND, RECORDED_BYTES - 1
_NO_TIME = ord(" ")


def doubtful_times(
    entries: bytes, recorded: bytes, intervals: Sequence[SealedInterval], tolerance: timedelta
) -> Iterator[tuple[int, SealedInterval]]:
    """The positions whose time may lie outside, and their intervals. `recorded` as LedgerStore.entries_of_log gives it.

    To the second, by the text of the time: what is written in another way than in UTC is doubtful too.
    """
    positions = positions_of(entries)
    texts = np.frombuffer(recorded, dtype=np.uint8).reshape(-1, RECORDED_BYTES)
    seconds = np.ascontiguousarray(texts[:, _BEGINS:_SECOND_END]).view(f"S{_TO_THE_SECOND}").ravel()
    is_utc = (texts[:, _SECOND_END] == ord("Z")) | (
        (texts[:, _SECOND_END] == ord(".")) & (texts[:, _FRACTION_END] == ord("Z"))
    )
    has_time = texts[:, 0] != _NO_TIME
    for interval in intervals:
        first = int(np.searchsorted(positions, interval.after, side="right"))
        end = int(np.searchsorted(positions, interval.head.last_position, side="right"))
        times = seconds[first:end]
        outside = (times > _written(interval.ends_at + tolerance)) | ~is_utc[first:end]
        if interval.begins_at is not None:
            outside |= times < _written(interval.begins_at - tolerance)
        for at in np.flatnonzero(outside & has_time[first:end]).tolist():
            yield int(positions[first + at]), interval


def time_finding(recorded_at: datetime, interval: SealedInterval, tolerance: timedelta) -> str | None:
    """The fault of the time of a domain event of that interval; None if it lies inside."""
    if recorded_at > interval.ends_at + tolerance:
        return (
            f"it says that it was recorded at {recorded_at.isoformat()}, after checkpoint {interval.number} of "
            f"{interval.ends_at.isoformat()}, which seals it"
        )
    if interval.begins_at is not None and recorded_at < interval.begins_at - tolerance:
        return (
            f"it says that it was recorded at {recorded_at.isoformat()}, before {interval.begins_at.isoformat()}, when "
            f"the log did not have it, as the checkpoint before {interval.number} shows"
        )
    return None


def _written(moment: datetime) -> bytes:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
