"""Alerts as a test opens and ends them: each (name, subject) has an observer of its own."""

from datetime import datetime

from application.ports.operations.alerts import UNTIL_RESTATED, AlertRegistry
from application.ports.operations.dead_letters import DeadLetters
from interfaces.workers.watch.dead_letter_monitor import DeadLetterMonitor
from tests.fakes.clock import FakeClock


def begin_alert(alerts: AlertRegistry, name: str, subject: str, detail: str, *, at: datetime) -> None:
    """Have the alert open until `end_alert`, whatever others state."""
    alerts.state(name, {subject: detail}, observer=_observer(subject), at=at, holds_s=UNTIL_RESTATED)


def end_alert(alerts: AlertRegistry, name: str, subject: str, *, at: datetime) -> None:
    """End what `begin_alert` began."""
    alerts.state(name, {}, observer=_observer(subject), at=at)


def _observer(subject: str) -> str:
    return f"a test of {subject}"


def look_at_letters(
    letters: DeadLetters, alerts: AlertRegistry, *, at: datetime, sla_s: float = 900.0
) -> None:
    """What the watch worker does each second."""
    DeadLetterMonitor(letters, alerts, FakeClock(at), sla_s).check()
