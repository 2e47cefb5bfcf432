"""AlertRegistry in memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from application.operations.alert_catalogue import ALERTS
from application.ports.operations.alerts import (
    CLEARED_FOR_S,
    SILENT_S,
    STATED_EVERY_S,
    Alert,
    AlertCursor,
    AlertDecided,
    AlertDecision,
    AlertNotFound,
    Severity,
)
from domain.administration import AdministrativeAct
from domain.errors import ReasonRequired
from tests.stored_text import stored_text


@dataclass
class Statement:
    """What an observer says of one alert, in the seconds of the fake's clock."""

    said: dict[str, str]
    seen_s: float
    holds_s: float
    cleared_until_s: dict[str, float] = field(default_factory=dict)
    """Subject -> until when a person wants to see nothing of it."""

    def counts(self, subject: str, now_s: float) -> bool:
        is_seen = subject in self.said and now_s < self.seen_s + self.holds_s
        return is_seen and self.seen_s >= self.cleared_until_s.get(subject, 0.0)


class FakeAlertRegistry:
    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._alerts: list[Alert] = []
        """In the order they were raised."""
        self._open: dict[tuple[str, str], int] = {}
        """(name, subject) -> index in `_alerts`."""
        self._statements: dict[str, dict[str, Statement]] = {}
        """Name -> observer -> what it states."""
        self.acts: list[AdministrativeAct] = []

    def state(
        self,
        name: str,
        stated: Mapping[str, str],
        *,
        observer: str,
        at: datetime,
        holds_s: float = SILENT_S,
    ) -> None:
        severity, now_s = ALERTS[name].severity, self._monotonic()
        said = {stored_text(subject): stored_text(detail) for subject, detail in stated.items()}
        statements = self._statements.setdefault(name, {})
        known = statements.get(observer)
        if known is not None and known.said == said and now_s < known.seen_s + STATED_EVERY_S:
            return
        put_back = {} if known is None else known.cleared_until_s
        statements[observer] = Statement(
            said, now_s, holds_s, {one: until for one, until in put_back.items() if one in said}
        )
        for subject, detail in said.items():
            if statements[observer].counts(subject, now_s):
                self._begin(name, subject, detail, severity, at)
        self._end(name, () if known is None else known.said.keys() - said.keys(), at)

    def stated(self, name: str, *, observer: str) -> dict[str, str]:
        known = self._statements.get(name, {}).get(observer)
        return {} if known is None else dict(sorted(known.said.items()))

    def end_unseen(self, *, at: datetime) -> list[Alert]:
        return [alert for name, subject in list(self._open) for alert in self._end(name, [subject], at)]

    def _begin(self, name: str, subject: str, detail: str, severity: Severity, at: datetime) -> None:
        place = self._open.get((name, subject))
        if place is None:
            self._open[name, subject] = len(self._alerts)
            self._alerts.append(
                Alert(
                    alert_id=len(self._alerts) + 1,
                    name=name,
                    subject=subject,
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

    def _end(self, name: str, subjects: Iterable[str], at: datetime) -> list[Alert]:
        """End the open alerts about `subjects` of which no statement counts any more."""
        now_s, ended = self._monotonic(), list[Alert]()
        for subject in subjects:
            place = self._open.get((name, subject))
            if place is None or any(
                one.counts(subject, now_s) for one in self._statements.get(name, {}).values()
            ):
                continue
            del self._open[name, subject]
            known = self._alerts[place]
            self._alerts[place] = replace(known, cleared_at=max(known.last_seen_at, at))
            ended.append(self._alerts[place])
        return ended

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
            for statement in self._statements.get(known.name, {}).values():
                statement.cleared_until_s[known.subject] = self._monotonic() + CLEARED_FOR_S
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
