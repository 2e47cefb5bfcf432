"""Messages of the live stream (Server-Sent Events), encoded once for all subscribers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

from application.ports.live_feed import LiveEntry

MAX_NAMED = 20
"""Alerts named in one message; the list returns all."""
RETRY = b"retry: 2000\n\n"
"""A browser reconnects this many ms after its stream ended."""
TOO_SLOW = b": dropped: too slow; connect again with Last-Event-ID\n\n"
ENDING = b": the server ends; connect again with Last-Event-ID\n\n"
SIGNED_OUT = b": signed out: the session ended or the key was revoked\n\n"
AWAY = b": the log does not answer; connect again with Last-Event-ID\n\n"

Kind = Literal["log", "alert", "everybody"]
ResetReason = Literal["too_old", "ahead"]
_encode = msgspec.json.Encoder().encode


class LogData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A domain event, and the DR event and facility to read again; not the row, which may have changed since."""

    position: int
    topic: str
    occurred_at: datetime | None
    dr_event_id: UUID | None = None
    facility_id: str | None = None


class StateData(msgspec.Struct, frozen=True, kw_only=True):
    """How far the read models are behind the log."""

    position: int | None
    """None before the log was read for the first time."""
    stale: bool
    age_s: float
    """Clock seconds since the read models fell behind, or since the database last answered."""
    reason: Literal["database", "projections"] | None


class AlertName(msgspec.Struct, frozen=True, order=True):
    name: str
    subject: str


class AlertData(msgspec.Struct, frozen=True, kw_only=True):
    """The number of open alerts, and the changes; no changes at the beginning of a stream."""

    open: int
    raised: tuple[AlertName, ...]
    cleared: tuple[AlertName, ...]


class TelemetryData(msgspec.Struct, frozen=True):
    stored_at: datetime


class ResetData(msgspec.Struct, frozen=True, kw_only=True):
    position: int
    reason: ResetReason


class Audience(NamedTuple):
    """The messages that a subscriber may see, and its filters. Subscribers with equal audiences get the same bytes."""

    facility_id: str | None = None
    """Set for a key of one facility."""
    only_facility_id: str | None = None
    only_dr_event_id: UUID | None = None
    sees_alerts: bool = True


class LiveMessage(NamedTuple):
    """A message; `data` is its encoded form."""

    data: bytes
    kind: Kind = "everybody"
    position: int | None = None
    dr_event_id: UUID | None = None
    facility_id: str | None = None

    def concerns(self, audience: Audience) -> bool:
        if self.kind == "everybody":
            return True
        if self.kind == "alert":
            return audience.sees_alerts
        return (
            audience.facility_id in (None, self.facility_id)
            and audience.only_facility_id in (None, self.facility_id)
            and audience.only_dr_event_id in (None, self.dr_event_id)
        )


def log_message(entry: LiveEntry) -> LiveMessage:
    """Its event name is the first part of the topic: `dispatch` for `dispatch.committed.v1`."""
    data = LogData(
        position=entry.position,
        topic=entry.topic,
        occurred_at=entry.occurred_at,
        dr_event_id=entry.dr_event_id,
        facility_id=entry.facility_id,
    )
    return LiveMessage(
        sent(entry.topic.partition(".")[0], data, position=entry.position),
        "log",
        entry.position,
        entry.dr_event_id,
        entry.facility_id,
    )


def state_message(state: StateData) -> LiveMessage:
    return LiveMessage(sent("state", state))


def alert_message(still_open: int, raised: Sequence[AlertName], cleared: Sequence[AlertName]) -> LiveMessage:
    data = AlertData(open=still_open, raised=tuple(raised[:MAX_NAMED]), cleared=tuple(cleared[:MAX_NAMED]))
    return LiveMessage(sent("alert", data), "alert")


def telemetry_message(stored_at: datetime) -> LiveMessage:
    return LiveMessage(sent("telemetry", TelemetryData(stored_at)))


def reset_message(position: int, reason: ResetReason) -> LiveMessage:
    return LiveMessage(sent("reset", ResetData(position=position, reason=reason), position=position))


def heartbeat(position: int) -> LiveMessage:
    """A named event, so that a client notices a broken connection, and a filtered stream resumes from its position."""
    return LiveMessage(sent("alive", {}, position=position))


def place(position: int) -> bytes:
    return b"id: %d\n\n" % position


def sent(name: str, data: Any, *, position: int | None = None) -> bytes:
    at = b"" if position is None else b"id: %d\n" % position
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), at, _encode(data))
