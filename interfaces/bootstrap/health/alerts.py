"""Wiring of the messages about alerts to people, in the process that watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from application.ports.operations.alerts import Severity
from interfaces.bootstrap.stores import Stores
from interfaces.bootstrap.tls import http_tls
from interfaces.settings.secrets import resolve_secret

if TYPE_CHECKING:
    from application.operations.alert_delivery import Route
    from application.ports.coordination.locks import Locks
    from application.ports.operations.alert_delivery import AlertChannel
    from interfaces.settings.settings import Settings

LOCK = "alert-delivery"
EVERY_S = 10.0
"""Wall seconds between two rounds."""
LEAST_ESCALATED: Severity = "critical"


@asynccontextmanager
async def delivering_alerts(stores: Stores, locks: Locks, stop: asyncio.Event) -> AsyncIterator[None]:
    """Tell people of alerts during the block, if the settings name a channel. One process of the system does."""
    from adapters.postgres.operations.alert_deliveries import PostgresAlertDeliveries
    from application.operations.alert_delivery import AlertDelivery
    from interfaces.workers.loops.periodic import PeriodicCheck
    from interfaces.workers.loops.side_task import run_side_task

    routes = alert_routes(stores)
    if not routes:
        yield
        return
    alerts = stores.alerts()
    delivery = AlertDelivery(routes, alerts, PostgresAlertDeliveries(stores.pool), stores.clock)
    check = PeriodicCheck("alert delivery", delivery.round, every_s=EVERY_S, lock=LOCK)
    run = partial(check.run, locks=locks)
    task = asyncio.create_task(
        run_side_task(run, stop, name=check.name, alerts=alerts, clock=stores.clock), name=check.name
    )
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def alert_routes(stores: Stores) -> list[Route]:
    """The channels of the settings, each with what goes to it."""
    from application.operations.alert_delivery import Route

    settings, after_s = stores.settings, stores.settings.alert_escalate_after_s
    least = settings.alert_least_severity
    routes = []
    if settings.alert_webhook_url is not None:
        routes.append(Route(_webhook(stores, "webhook", settings.alert_webhook_url), least))
    if settings.alert_email_to is not None:
        routes.append(Route(_email(settings, "email", settings.alert_email_to), least))
    if settings.alert_escalation_webhook_url is not None:
        escalation = _webhook(stores, "escalation webhook", settings.alert_escalation_webhook_url)
        routes.append(Route(escalation, LEAST_ESCALATED, after_s))
    if settings.alert_escalation_email_to is not None:
        escalation = _email(settings, "escalation email", settings.alert_escalation_email_to)
        routes.append(Route(escalation, LEAST_ESCALATED, after_s))
    return routes


def _webhook(stores: Stores, name: str, url: str) -> AlertChannel:
    from adapters.callback import HttpUtilityNotifier
    from application.operations.alert_webhook import WebhookAlertChannel

    settings = stores.settings
    reference = str(settings.alert_webhook_secret)
    notifier = HttpUtilityNotifier(
        clock=stores.clock,
        secret_of=lambda _: resolve_secret(reference),
        allow_private=settings.allow_private_callbacks,
        ports=settings.callback_port_numbers,
        tls=http_tls(settings),
    )
    return WebhookAlertChannel(name, url, notifier)


def _email(settings: Settings, name: str, recipients: str) -> AlertChannel:
    from adapters.smtp import SmtpAlertChannel

    reference = settings.alert_smtp_password
    return SmtpAlertChannel(
        name,
        str(settings.alert_smtp_url),
        sender=str(settings.alert_email_from),
        recipients=[address.strip() for address in recipients.split(",")],
        password=None if reference is None else lambda: resolve_secret(reference).decode(),
        ca_file=settings.alert_smtp_ca_file,
        also_ca_file=settings.tls_ca_file,
    )
