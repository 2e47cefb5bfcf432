"""AlertDelivery: tells people of alerts, each channel by itself, and again somebody else if nobody acknowledges.

What is due follows from the register and the record of deliveries, so a restart loses nothing. Between a message and
its record a process may end: the message is then sent once more, with the same id unless another alert joined it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import structlog

from application.access.token_bucket import Allowance, TokenBucket
from application.ports.clock import Clock
from application.ports.operations.alert_delivery import (
    AlertChannel,
    AlertDeliveries,
    AlertMessage,
    AlertNotDelivered,
    Delivery,
    DeliveryKey,
    MessageKind,
)
from application.ports.operations.alerts import Alert, AlertRegistry, Severity, every_open_alert

ALERT, OBSERVER = "alert_undeliverable", "alert delivery"
MESSAGE_IDS = UUID("5a7c0a0e-7f0c-5b6e-9d0c-0b8b6f7a5e21")
RANKS: Mapping[Severity, int] = {"warning": 0, "critical": 1, "page": 2}
MOST_NAMED = 50
"""Alerts that one message lists."""
BURST = Allowance(at_once=10.0, per_s=1 / 60)
"""Messages of one channel: ten at once, then one a minute, which stands for all alerts that wait."""
QUIET = timedelta(minutes=15)
"""Wall time for which people are not told again of an alert that ended and was raised again."""
FIRST_RETRY_S, LONGEST_RETRY_S, MOST_ATTEMPTS = 30.0, 900.0, 100
"""Wall seconds between two tries of a message; after the last one (a day) only the register shows it."""
FAILING_AFTER = 3
"""Tries in a row that a channel fails before an alert says so; it is told on the other channels."""
UNTRIED_S = 3_600.0
"""Wall seconds after which a channel that nothing was sent on does not count as failing any more."""
KEPT = timedelta(days=1)
"""Wall time for which the end of an alert is still told."""
log = structlog.get_logger("watch")


@dataclass(frozen=True)
class Route:
    """The alerts that go to a channel."""

    channel: AlertChannel
    least: Severity
    after_s: float | None = None
    """None: each alert, at once. Otherwise those that are open and not acknowledged after so many clock seconds."""

    @property
    def kind(self) -> MessageKind:
        return "raised" if self.after_s is None else "escalated"


@dataclass
class _Tries:
    """The tries of a channel, as a process remembers them."""

    bucket: TokenBucket
    failed: int = 0


@dataclass
class AlertDelivery:
    """The delivery of alerts; one is active per system. A channel that refuses delays no other; one that does not
    answer holds up the round, and so the others, for about a minute."""

    routes: Sequence[Route]
    alerts: AlertRegistry
    deliveries: AlertDeliveries
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    _tries: dict[str, _Tries] = field(default_factory=dict)
    _failing: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Channel -> why the last tries failed, and when."""
    _has_taken_over: bool = False

    async def round(self) -> None:
        """Send what is due on every channel. Raises OperationsUnavailable."""
        now = self.clock.now()
        await asyncio.to_thread(self._take_over)
        open_alerts = await asyncio.to_thread(every_open_alert, self.alerts)
        served = (self._serve(route, open_alerts, now) for route in self.routes)
        for failure in await asyncio.gather(*served, return_exceptions=True):
            if failure is not None:
                raise failure
        await asyncio.to_thread(self._state_failing)

    def _state_failing(self) -> None:
        now_s = self.monotonic()
        failing = {name: why for name, (why, at_s) in self._failing.items() if now_s - at_s < UNTRIED_S}
        self.alerts.state(ALERT, failing, observer=OBSERVER, at=self.clock.now())

    def _take_over(self) -> None:
        """Another process delivered before: a channel that failed then fails until a message arrives."""
        if not self._has_taken_over:
            now_s = self.monotonic()
            for name, why in self.alerts.stated(ALERT, observer=OBSERVER).items():
                self._failing.setdefault(name, (why, now_s))
            self._has_taken_over = True

    async def _serve(self, route: Route, open_alerts: Sequence[Alert], now: datetime) -> None:
        name = route.channel.name
        since = now - self._clock_time(max(KEPT, QUIET))
        known = await asyncio.to_thread(self.deliveries.of_channel, name, since=since)
        due: list[tuple[MessageKind, list[Alert]]] = [
            (route.kind, self._due(route, open_alerts, known, now)),
            ("ended", await self._ended(route, open_alerts, known, now)),
        ]
        for kind, alerts in due:
            if alerts and self._may_send(name):
                await self._send(route, kind, alerts, now)

    def _due(
        self, route: Route, open_alerts: Iterable[Alert], known: Mapping[DeliveryKey, Delivery], now: datetime
    ) -> list[Alert]:
        """The open alerts that the channel has to tell now."""
        lately = {
            (one.name, one.subject)
            for one in known.values()
            if one.kind == route.kind
            and one.delivered_at is not None
            and timedelta() <= now - one.delivered_at < self._clock_time(QUIET)
        }
        return [
            alert
            for alert in open_alerts
            if RANKS[alert.severity] >= RANKS[route.least]
            and alert.acknowledged_at is None
            and (alert.name, alert.subject) not in lately
            and (route.after_s is None or (now - alert.raised_at).total_seconds() >= route.after_s)
            and self._is_due(known.get(DeliveryKey(alert.alert_id, route.kind)), now)
        ]

    async def _ended(
        self, route: Route, open_alerts: Iterable[Alert], known: Mapping[DeliveryKey, Delivery], now: datetime
    ) -> list[Alert]:
        """The alerts that the channel told, and that are over."""
        still_open = {alert.alert_id for alert in open_alerts}
        told = {
            one.alert_id
            for one in known.values()
            if one.kind == route.kind and one.delivered_at is not None and one.alert_id not in still_open
        }
        waiting = [
            alert_id for alert_id in told if self._is_due(known.get(DeliveryKey(alert_id, "ended")), now)
        ]
        return await asyncio.to_thread(self.deliveries.ended, waiting) if waiting else []

    def _is_due(self, last: Delivery | None, now: datetime) -> bool:
        if last is None:
            return True
        if last.delivered_at is not None or last.attempts >= MOST_ATTEMPTS:
            return False
        pause_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(last.attempts - 1, 30))
        waited_s = self.clock.wall_seconds((now - last.tried_at).total_seconds())
        return not 0.0 <= waited_s < pause_s  # a clock that was ahead, and is right again, delays nothing

    def _may_send(self, channel: str) -> bool:
        """Take a place from the channel's bucket."""
        now_s = self.monotonic()
        tries = self._tries.setdefault(channel, _Tries(TokenBucket(BURST.at_once, now_s)))
        if tries.bucket.filled(BURST, now_s) < 1.0:
            return False
        tries.bucket.size -= 1.0
        return True

    async def _send(self, route: Route, kind: MessageKind, alerts: Sequence[Alert], now: datetime) -> None:
        name, failure = route.channel.name, None
        try:
            await route.channel.deliver(message_of(kind, alerts, sent_at=now))
        except AlertNotDelivered as error:
            failure = str(error)[:1_000]
            log.warning("alerts not delivered", channel=name, kind=kind, alerts=len(alerts), why=failure)
        except Exception as error:  # an error of ours must not stop the other channels
            failure = f"{type(error).__name__}: {error}"[:1_000]
            log.exception("alerts not delivered", channel=name, kind=kind, alerts=len(alerts))
        alert_ids = [alert.alert_id for alert in alerts]
        note = self.deliveries.note
        await asyncio.to_thread(note, name, kind, alert_ids, at=self.clock.now(), failure=failure)
        tries = self._tries[name]
        tries.failed = 0 if failure is None else tries.failed + 1
        if failure is None:
            self._failing.pop(name, None)
        elif tries.failed >= FAILING_AFTER or name in self._failing:
            self._failing[name] = failure, self.monotonic()

    def _clock_time(self, wall: timedelta) -> timedelta:
        return wall / self.clock.wall_seconds(1.0)


def message_of(kind: MessageKind, alerts: Sequence[Alert], *, sent_at: datetime) -> AlertMessage:
    """Its id follows from the kind and the alerts. Whoever receives a message of a known id drops it, so the ids of two
    systems must differ, and those of a system that was restored to an earlier time: both number alerts again.
    """
    worst = sorted(alerts, key=lambda alert: (-RANKS[alert.severity], alert.alert_id))
    ids = sorted(
        f"{alert.alert_id} {alert.name} {alert.subject} {alert.raised_at.timestamp()}" for alert in alerts
    )
    return AlertMessage(
        message_id=uuid5(MESSAGE_IDS, f"{kind}:{ids}"),
        kind=kind,
        sent_at=sent_at,
        alerts=tuple(worst[:MOST_NAMED]),
        more=max(0, len(worst) - MOST_NAMED),
    )
