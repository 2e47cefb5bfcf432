"""The window in force: as the utility asked, or with a start that was drawn, or with one that is now; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from domain.dr_event.state import Notice


def with_offset(notice: Notice, offset_s: int | None) -> Notice:
    """The window put off by what was drawn, at most what the notice allows; its length stays (as in OpenADR)."""
    offset = timedelta(seconds=min(offset_s or 0, notice.randomize_start_s))
    if not offset:
        return notice
    return replace(
        notice,
        starts_at=notice.starts_at + offset,
        ends_at=notice.ends_at + offset,
        requested_starts_at=notice.asked_starts_at,
    )


def begun_late(notice: Notice, *, now: datetime, minimum_duration_s: float) -> Notice:
    """The rest of a window that has begun already, where it is long enough; else the notice as it is."""
    rest_s = (notice.ends_at - now).total_seconds()
    if notice.starts_at >= now or rest_s < max(minimum_duration_s, 1.0):
        return notice
    return replace(notice, starts_at=now, requested_starts_at=notice.asked_starts_at)


def with_start_of(notice: Notice, standing: Notice, offset_s: int | None) -> Notice:
    """A changed notice whose start is the one that stands: only its end may have moved."""
    shift = timedelta(seconds=min(offset_s or 0, notice.randomize_start_s))
    return replace(
        notice,
        starts_at=standing.starts_at,
        ends_at=notice.ends_at + shift,
        requested_starts_at=standing.requested_starts_at,
    )
