"""The effective window of a DR event: as requested, with a random start, or with a start that is already
past; pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from domain.dr_event.state import Notice


def with_offset(notice: Notice, offset_s: int) -> Notice:
    """The window delayed by the drawn offset, at most by what the notice allows; its length is unchanged (as
    in OpenADR).
    """
    offset = timedelta(seconds=min(offset_s, notice.randomize_start_s))
    if not offset:
        return notice
    return replace(
        notice,
        starts_at=notice.starts_at + offset,
        ends_at=notice.ends_at + offset,
        requested_starts_at=notice.notified_starts_at,
    )


def remaining_window(notice: Notice, *, now: datetime, minimum_duration_s: float) -> Notice:
    """The rest of a window that has already begun, if it is long enough; else the notice unchanged."""
    rest_s = (notice.ends_at - now).total_seconds()
    if notice.starts_at >= now or rest_s < max(minimum_duration_s, 1.0):
        return notice
    return replace(notice, starts_at=now, requested_starts_at=notice.notified_starts_at)


def with_effective_start(notice: Notice, in_force: Notice, offset_s: int | None) -> Notice:
    """A changed notice with the start that is in force: only its end may differ."""
    shift = timedelta(seconds=min(offset_s or 0, notice.randomize_start_s))
    return replace(
        notice,
        starts_at=in_force.starts_at,
        ends_at=notice.ends_at + shift,
        requested_starts_at=in_force.requested_starts_at,
    )


def requests_the_same(notice: Notice, other: Notice) -> bool:
    """True if two notices with their windows in force differ at most in ids, number and callback address."""
    return notice == replace(
        other,
        notification_id=notice.notification_id,
        modification_number=notice.modification_number,
        callback_url=notice.callback_url,
        callback_address_id=notice.callback_address_id,
    )
