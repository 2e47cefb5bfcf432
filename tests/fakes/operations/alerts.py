"""AlertRegistry in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from application.operations.alert_catalogue import ALERTS
from application.ports.operations.alerts import (
    Alert,
    AlertCursor,
    AlertDecided,
    AlertDecision,
    AlertNotFound,
)
from domain.administration import AdministrativeAct
from domain.errors import ReasonRequired
from tests.stored_text import stored_text


class FakeAlertRegistry:
    def __init__(self) -> None:
        self._alerts: list[Alert] = []
        """In the order they were raised."""
        self._open: dict[tuple[str, str], int] = {}
        """(name, subject) -> index in `_alerts`."""
        self.acts: list[AdministrativeAct] = []

    def raise_alert(self, name: str, subject: str, detail: str, *, at: datetime) -> None:
        severity, key, detail = ALERTS[name].severity, (name, stored_text(subject)), stored_text(detail)
        place = self._open.get(key)
        if place is None:
            self._open[key] = len(self._alerts)
            self._alerts.append(
                Alert(
                    alert_id=len(self._alerts) + 1,
                    name=name,
                    subject=key[1],
                    severity=severity,
                    detail=detail,
                    raised_at=at,
                    last_seen_at=at,
                )
            )
            return
        known = self._alerts[place]
        self._alerts[place] = replace(
            known, severity=severity, detail=detail, last_seen_at=max(known.last_seen_at, at)
        )

    def clear(self, name: str, subject: str, *, at: datetime) -> None:
        place = self._open.pop((name, stored_text(subject)), None)
        if place is not None:
            known = self._alerts[place]
            self._alerts[place] = replace(known, cleared_at=max(known.last_seen_at, at))

    def decide(
        self,
        alert_id: int,
        *,
        decision: AlertDecision,
        by: str,
        reason: str,
        at: datetime,
        act_of: Callable[[Alert], AdministrativeAct],
    ) -> Alert:
        if not reason.strip():
            raise ReasonRequired("a decision on an alert needs a reason")
        if not 1 <= alert_id <= len(self._alerts):
            raise AlertNotFound(f"no alert {alert_id}; list them with `gridproof alerts list`")
        known = self._alerts[alert_id - 1]
        if known.cleared_at is not None:
            raise AlertDecided(f"alert {alert_id} has ended")
        if decision == "cleared":
            del self._open[known.name, known.subject]
            decided = replace(
                known, cleared_at=max(known.last_seen_at, at), cleared_by=by, clear_reason=stored_text(reason)
            )
        elif known.acknowledged_at is not None:
            raise AlertDecided(f"alert {alert_id} is acknowledged already")
        else:
            decided = replace(
                known,
                acknowledged_at=max(known.raised_at, at),
                acknowledged_by=by,
                acknowledgement=stored_text(reason),
            )
        self._alerts[alert_id - 1] = decided
        self.acts.append(act_of(decided))
        return decided

    def open_by_name(self) -> dict[str, int]:
        return dict(Counter(name for name, _ in self._open))

    def open_about(self, subject: str, *, limit: int = 100) -> list[Alert]:
        about = [
            alert
            for alert in self.listed(limit=len(self._alerts))
            if alert.subject == subject or alert.subject.startswith(f"{subject}/")
        ]
        return about[:limit]

    def listed(
        self, *, include_cleared: bool = False, limit: int = 200, after: AlertCursor | None = None
    ) -> list[Alert]:
        shown = [
            alert
            for alert in self._alerts
            if (include_cleared or alert.cleared_at is None) and (after is None or _place(alert) < after)
        ]
        return sorted(shown, key=_place, reverse=True)[:limit]


def _place(alert: Alert) -> AlertCursor:
    return AlertCursor(alert.raised_at, alert.alert_id)
