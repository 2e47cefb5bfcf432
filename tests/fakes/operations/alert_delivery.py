"""AlertDeliveries in memory, and a channel that keeps what it is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from application.ports.operations.alert_delivery import (
    AlertMessage,
    AlertNotDelivered,
    Delivery,
    DeliveryKey,
    MessageKind,
)
from application.ports.operations.alerts import Alert, AlertRegistry
from tests.stored_text import stored_text

MOST = 1_000_000


class FakeAlertDeliveries:
    def __init__(self, alerts: AlertRegistry) -> None:
        self._alerts = alerts
        self._known: dict[str, dict[DeliveryKey, Delivery]] = {}

    def of_channel(self, channel: str, *, since: datetime) -> Mapping[DeliveryKey, Delivery]:
        every = self._alerts.listed(include_cleared=True, limit=MOST)
        lately_open = {
            alert.alert_id for alert in every if alert.cleared_at is None or alert.cleared_at >= since
        }
        return {
            key: delivery
            for key, delivery in self._known.get(channel, {}).items()
            if delivery.tried_at >= since or delivery.alert_id in lately_open
        }

    def ended(self, alert_ids: Collection[int]) -> list[Alert]:
        every = self._alerts.listed(include_cleared=True, limit=MOST)
        return [alert for alert in every if alert.alert_id in alert_ids and alert.cleared_at is not None]

    def note(
        self,
        channel: str,
        kind: MessageKind,
        alert_ids: Sequence[int],
        *,
        at: datetime,
        failure: str | None,
    ) -> None:
        every = {alert.alert_id: alert for alert in self._alerts.listed(include_cleared=True, limit=MOST)}
        known = self._known.setdefault(channel, {})
        for alert_id in alert_ids:
            last = known.get(DeliveryKey(alert_id, kind))
            if last is not None and last.delivered_at is not None:
                continue
            known[DeliveryKey(alert_id, kind)] = Delivery(
                alert_id=alert_id,
                name=every[alert_id].name,
                subject=every[alert_id].subject,
                kind=kind,
                attempts=1 if last is None else last.attempts + 1,
                tried_at=at,
                delivered_at=at if failure is None else None,
                failure=None if failure is None else stored_text(failure),
            )


class FakeAlertChannel:
    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: Exception | None = None
        self.tried: list[AlertMessage] = []
        self.delivered: list[AlertMessage] = []

    async def deliver(self, message: AlertMessage) -> None:
        self.tried.append(message)
        if self.failure is not None:
            raise self.failure
        self.delivered.append(message)

    def fail(self, why: str | None) -> None:
        self.failure = None if why is None else AlertNotDelivered(why)

    @property
    def messages(self) -> list[tuple[MessageKind, list[str]]]:
        """Of each delivered message its kind and the subjects of its alerts."""
        return [(one.kind, [alert.subject for alert in one.alerts]) for one in self.delivered]
