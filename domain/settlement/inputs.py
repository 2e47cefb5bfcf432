"""The inputs of a settlement: the DR event as it ended, and the metering steps of its facilities."""

from bisect import bisect_right
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

from domain.units import DecimalString

EventStatus = Literal["completed", "cancelled", "cancelled_while_active"]
FacilityResult = Literal["committed", "opted_out", "failed", "excused"]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""With its UTC offset; one without, in a document of somebody else, is refused when it is read."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The event's price of a settlement interval, per kWh."""

    starts_at: Moment
    per_kwh: DecimalString


class Commitment(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The power that is committed from that moment on."""

    from_: Moment
    kw: DecimalString


class EventFacility(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's part of a DR event. Without `commitments`, `committed_kw` holds for the whole window."""

    facility_id: str
    tz: str = "UTC"
    result: FacilityResult = "committed"
    committed_kw: DecimalString = "0"
    commitments: tuple[Commitment, ...] = ()
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    """Its own window, inside the DR event's."""
    opted_out_at: Moment | None = None
    """None with the result `opted_out`: before the start."""


class EndedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A DR event as it ended."""

    dr_event_id: str
    program_id: str
    kind: str = "event"
    status: EventStatus = "completed"
    starts_at: Moment
    ends_at: Moment
    ended_at: Moment | None = None
    """When it was cancelled."""
    prices: tuple[Price, ...] = ()
    facilities: tuple[EventFacility, ...] = ()


class MeteringStep(msgspec.Struct, frozen=True, kw_only=True):
    """A metering step of a facility, kW with 3 places; None: no baseline, or not metered."""

    starts_at: Moment
    adjusted_kw: DecimalString | None
    metered_kw: DecimalString | None


class StepWindow(msgspec.Struct, frozen=True):
    """Whole metering steps from `starts_at` to `ends_at`; empty where they are equal."""

    starts_at: datetime
    ends_at: datetime
    step_s: int

    @property
    def step(self) -> timedelta:
        return timedelta(seconds=self.step_s)

    @property
    def count(self) -> int:
        return (self.ends_at - self.starts_at) // self.step

    def starts(self) -> list[datetime]:
        return [self.starts_at + self.step * number for number in range(self.count)]


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def step_window(starts_at: datetime, ends_at: datetime, step_s: int) -> StepWindow:
    """The whole steps from `starts_at` to `ends_at`; steps are counted from midnight UTC of 1970."""
    step = timedelta(seconds=step_s)
    first = _EPOCH + -((_EPOCH - starts_at) // step) * step
    last = _EPOCH + (ends_at - _EPOCH) // step * step
    return StepWindow(first, max(first, last), step_s)


def event_window(dr_event: EndedEvent, step_s: int) -> StepWindow:
    """The window that is settled: until the cancellation of a DR event that was cancelled while active."""
    ends_at = dr_event.ends_at
    if dr_event.status == "cancelled_while_active" and dr_event.ended_at is not None:
        ends_at = min(ends_at, dr_event.ended_at)
    return step_window(dr_event.starts_at, ends_at, step_s)


def facility_window(
    whole: StepWindow, facility: EventFacility, opted_out: Literal["excused", "zero"]
) -> StepWindow:
    """The facility's own steps of the event's window: an excused opt-out during the window ends it."""
    left_at = facility.opted_out_at if facility.result == "opted_out" and opted_out == "excused" else None
    if facility.starts_at is None and facility.ends_at is None and left_at is None:
        return whole
    starts_at = max(facility.starts_at or whole.starts_at, whole.starts_at)
    ends_at = min(facility.ends_at or whole.ends_at, left_at or whole.ends_at, whole.ends_at)
    return step_window(starts_at, ends_at, whole.step_s)


def committed_in(facility: EventFacility, starts_at: datetime, ends_at: datetime) -> list[tuple[int, str]]:
    """The parts of that time, each with its microseconds and the kW that were committed then."""
    rising = sorted(facility.commitments, key=lambda one: one.from_)
    begins = [one.from_ for one in rising]
    bounds = [starts_at, *(at for at in begins if starts_at < at < ends_at), ends_at]
    parts = []
    for start, end in pairwise(bounds):
        begun = bisect_right(begins, start)
        kw = rising[begun - 1].kw if begun else "0"
        parts.append(((end - start) // timedelta(microseconds=1), kw))
    return parts
