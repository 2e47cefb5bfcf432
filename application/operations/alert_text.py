"""The text of a message about alerts, for people."""

from __future__ import annotations

from application.ports.operations.alert_delivery import AlertMessage, MessageKind
from application.ports.operations.alerts import Alert

MOST_IN_SUBJECT, MOST_IN_DETAIL = 150, 500
_HEADS: dict[MessageKind, str] = {
    "raised": "raised",
    "escalated": "raised, and nobody has acknowledged it",
    "ended": "ended",
}


def subject_of(message: AlertMessage) -> str:
    """A line of printable characters: subjects and details may hold text of other hosts."""
    worst, others = message.alerts[0], len(message.alerts) - 1 + message.more
    more = f" and {others} more" if others else ""
    line = _line(f"{worst.name}: {worst.subject}", MOST_IN_SUBJECT)
    return f"[gridproof] {worst.severity} {_HEADS[message.kind]}: {line}{more}"


def text_of(message: AlertMessage) -> str:
    parts = [_described(alert) for alert in message.alerts]
    if message.more:
        parts.append(f"... and {message.more} more: `gridproof alerts list`")
    if message.kind != "ended":
        parts.append("Say that you look after one: `gridproof alerts acknowledge ID`")
    return "\n\n".join(parts) + "\n"


def _described(alert: Alert) -> str:
    until = "" if alert.cleared_at is None else f", ended {alert.cleared_at:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"{alert.alert_id} {alert.severity} {alert.name}: {_line(alert.subject, MOST_IN_SUBJECT)}\n"
        f"  {_line(alert.detail, MOST_IN_DETAIL)}\n"
        f"  raised {alert.raised_at:%Y-%m-%d %H:%M:%S} UTC{until}\n"
        f"  what to do: docs/runbooks/{alert.name}.md, or /runbooks/{alert.name} of the web process"
    )


def _line(text: str, most: int) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:most]
