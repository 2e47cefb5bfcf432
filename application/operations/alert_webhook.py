"""Alerts by a signed call to an address of the operator, under the rules of callbacks (ADR 0067)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from application.ports.callback import CallbackError, UtilityNotifier
from application.ports.operations.alert_delivery import AlertMessage, AlertNotDelivered

SENDER = "alerts"
"""In place of a utility's id."""
FORMAT = "gridproof-alerts.v1"


@dataclass(frozen=True)
class WebhookAlertChannel:
    """`notifier` signs each call with the secret of the settings."""

    name: str
    url: str
    notifier: UtilityNotifier

    async def deliver(self, message: AlertMessage) -> None:
        message_id = message.message_id
        try:
            await self.notifier.send(SENDER, self.url, body_of(message), message_id, message_id.hex)
        except CallbackError as error:
            raise AlertNotDelivered(str(error)) from error


def body_of(message: AlertMessage) -> str:
    """JSON: the message, and of each alert what `GET /api/alerts` shows."""
    return msgspec.json.encode({"format": FORMAT, **msgspec.to_builtins(message)}).decode()
