"""AlertRegistry in memory."""

from datetime import datetime

from msgspec.structs import replace

from application.alerts import ALERTS
from application.ports.alerts import Alert


class FakeAlertRegistry:
    def __init__(self) -> None:
        self._alerts: list[Alert] = []

    def raise_alert(self, name: str, subject: str, detail: str, *, at: datetime) -> None:
        severity, subject, detail = ALERTS[name].severity, _text(subject), _text(detail)
        place = self._open(name, subject)
        if place is not None:
            seen = max(self._alerts[place].last_seen_at, at)
            self._alerts[place] = replace(
                self._alerts[place], severity=severity, detail=detail, last_seen_at=seen
            )
            return
        self._alerts.append(
            Alert(name=name, subject=subject, severity=severity, detail=detail, raised_at=at, last_seen_at=at)
        )

    def clear(self, name: str, subject: str, *, at: datetime) -> None:
        place = self._open(name, _text(subject))
        if place is not None:
            known = self._alerts[place]
            self._alerts[place] = replace(known, cleared_at=max(known.last_seen_at, at))

    def listed(self, *, include_cleared: bool = False, limit: int = 200) -> list[Alert]:
        latest_first = self._alerts[::-1]
        newest_first = sorted(latest_first, key=lambda alert: alert.raised_at, reverse=True)
        return [alert for alert in newest_first if include_cleared or alert.cleared_at is None][:limit]

    def _open(self, name: str, subject: str) -> int | None:
        for place, alert in enumerate(self._alerts):
            if (alert.name, alert.subject) == (name, subject) and alert.cleared_at is None:
                return place
        return None


def _text(text: str) -> str:
    return text.replace("\0", "\\0")
