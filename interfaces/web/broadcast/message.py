"""Messages of the live stream, encoded once for everybody who watches (Server-Sent Events)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

from application.ports.live_feed import LiveEntry

MOST_NAMED = 20
"""Alerts of one message; who needs the others asks for the list."""
RETRY = b"retry: 2000\n\n"
"""After so many ms a browser whose stream ended connects again."""
TOO_SLOW = b": dropped: too slow; connect again with Last-Event-ID\n\n"
ENDING = b": the server ends; connect again with Last-Event-ID\n\n"
SIGNED_OUT = b": signed out: the session ended or the key was revoked\n\n"
AWAY = b": the log does not answer; connect again with Last-Event-ID\n\n"

Kind = Literal["log", "alert", "everybody"]
ResetReason = Literal["too_old", "ahead"]
_encode = msgspec.json.Encoder().encode


class LogData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened, and what to read anew; never the row itself, which may have changed since."""

    position: int
    topic: str
    occurred_at: datetime | None
    dr_event_id: UUID | None = None
    facility_id: str | None = None


class StateData(msgspec.Struct, frozen=True, kw_only=True):
    """How far what can be read is behind what has happened."""

    position: int | None
    """None before the log was reached for the first time."""
    stale: bool
    age_s: float
    """Clock seconds for which the read models have been behind, or the database unheard of."""
    reason: Literal["database", "projections"] | None


class AlertName(msgspec.Struct, frozen=True, order=True):
    name: str
    subject: str


class AlertData(msgspec.Struct, frozen=True, kw_only=True):
    """How many are open, and what changed among them: nothing where a stream begins."""

    open: int
    raised: tuple[AlertName, ...]
    cleared: tuple[AlertName, ...]


class TelemetryData(msgspec.Struct, frozen=True):
    stored_at: datetime


class ResetData(msgspec.Struct, frozen=True, kw_only=True):
    position: int
    reason: ResetReason


class Audience(NamedTuple):
    """What somebody may see, and asked for. Equal ones are sent the same bytes."""

    facility_id: str | None = None
    """Of a key of one facility."""
    asked_facility_id: str | None = None
    asked_dr_event_id: UUID | None = None
    sees_alerts: bool = True


class LiveMessage(NamedTuple):
    """`data` as it goes out."""

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
            and audience.asked_facility_id in (None, self.facility_id)
            and audience.asked_dr_event_id in (None, self.dr_event_id)
        )


def log_message(entry: LiveEntry) -> LiveMessage:
    """Named after what the topic is of: `dispatch.committed.v1` is a `dispatch`."""
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
    data = AlertData(open=still_open, raised=tuple(raised[:MOST_NAMED]), cleared=tuple(cleared[:MOST_NAMED]))
    return LiveMessage(sent("alert", data), "alert")


def telemetry_message(stored_at: datetime) -> LiveMessage:
    return LiveMessage(sent("telemetry", TelemetryData(stored_at)))


def reset_message(position: int, reason: ResetReason) -> LiveMessage:
    return LiveMessage(sent("reset", ResetData(position=position, reason=reason), position=position))


def heartbeat(position: int) -> LiveMessage:
    """Named, so that who hears none knows that the way here is broken, and a filtered stream resumes from there."""
    return LiveMessage(sent("alive", {}, position=position))


def place(position: int) -> bytes:
    return b"id: %d\n\n" % position


def sent(name: str, data: Any, *, position: int | None = None) -> bytes:
    at = b"" if position is None else b"id: %d\n" % position
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), at, _encode(data))
