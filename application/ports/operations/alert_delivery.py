"""Messages about alerts to people: the channels that carry them, and the record of what was delivered."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

import msgspec

from application.ports.operations.alerts import Alert

MessageKind = Literal["raised", "escalated", "ended"]


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message about at least one alert. A repeated one has the same id."""

    message_id: UUID
    kind: MessageKind
    sent_at: datetime
    alerts: tuple[Alert, ...]
    """The worst first, at most MOST_NAMED."""
    more: int = 0
    """How many further alerts it stands for."""


class AlertNotDelivered(Exception):
    """It is unknown whether the message arrived; send it again later. The text says why, without secrets."""


class AlertChannel(Protocol):
    """A channel to people."""

    @property
    def name(self) -> str:
        """In the record of deliveries; it never changes."""
        ...

    async def deliver(self, message: AlertMessage) -> None:
        """Returns once somebody else is responsible for the message; takes a minute at most. Raises
        AlertNotDelivered."""
        ...


class DeliveryKey(NamedTuple):
    alert_id: int
    kind: MessageKind


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The tries so far to tell of one alert on one channel. Times are those of the clock."""

    alert_id: int
    name: str
    subject: str
    """Those of the alert."""
    kind: MessageKind
    attempts: int
    tried_at: datetime
    delivered_at: datetime | None
    failure: str | None

    @property
    def key(self) -> DeliveryKey:
        return DeliveryKey(self.alert_id, self.kind)


class AlertDeliveries(Protocol):
    """The record of deliveries (synchronous). Every method raises OperationsUnavailable."""

    def of_channel(self, channel: str, *, since: datetime) -> Mapping[DeliveryKey, Delivery]:
        """The deliveries of alerts that are open or ended at `since` or later, and those tried at `since` or later."""
        ...

    def ended(self, alert_ids: Collection[int]) -> list[Alert]:
        """The alerts that have ended."""
        ...

    def note(
        self,
        channel: str,
        kind: MessageKind,
        alert_ids: Sequence[int],
        *,
        at: datetime,
        failure: str | None,
    ) -> None:
        """Record one try of a message about these alerts. `failure` None: it was delivered."""
        ...
