"""The record of messages about alerts in PostgreSQL."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.operations.alerts import COLUMNS, alert_of
from adapters.postgres.wire_format.text import storable
from application.ports.operations.alert_delivery import Delivery, DeliveryKey, MessageKind
from application.ports.operations.alerts import Alert

_DELIVERIES = """
SELECT alert_id, name, subject, message, attempts, tried_at, delivered_at, failure
FROM gridproof.alert_deliveries JOIN gridproof.alerts USING (alert_id)
"""
_OF_CHANNEL = f"""
{_DELIVERIES} WHERE channel = %(channel)s AND tried_at >= %(since)s
UNION {_DELIVERIES} WHERE channel = %(channel)s AND cleared_at IS NULL
UNION {_DELIVERIES} WHERE channel = %(channel)s AND cleared_at >= %(since)s
"""
_ENDED = f"SELECT {COLUMNS} FROM gridproof.alerts WHERE alert_id = ANY(%s) AND cleared_at IS NOT NULL"  # noqa: S608 - our own column names
_NOTE = """
INSERT INTO gridproof.alert_deliveries AS known (alert_id, channel, message, attempts, tried_at, delivered_at, failure)
SELECT id, %(channel)s, %(kind)s, 1, %(at)s, %(delivered_at)s, %(failure)s
FROM unnest(%(ids)s::bigint[]) AS id ORDER BY id
ON CONFLICT (alert_id, channel, message) DO UPDATE
    SET attempts = known.attempts + 1, tried_at = excluded.tried_at, delivered_at = excluded.delivered_at,
        failure = excluded.failure
WHERE known.delivered_at IS NULL
"""


class PostgresAlertDeliveries:
    """`pool` connects as the application's role."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    def of_channel(self, channel: str, *, since: datetime) -> Mapping[DeliveryKey, Delivery]:
        with transaction(self._pool) as connection:
            rows = connection.execute(_OF_CHANNEL.encode(), {"channel": channel, "since": since}).fetchall()
        found = map(_delivery, rows)
        return {delivery.key: delivery for delivery in found}

    def ended(self, alert_ids: Collection[int]) -> list[Alert]:
        with transaction(self._pool) as connection:
            return [alert_of(row) for row in connection.execute(_ENDED.encode(), (list(alert_ids),))]

    def note(
        self,
        channel: str,
        kind: MessageKind,
        alert_ids: Sequence[int],
        *,
        at: datetime,
        failure: str | None,
    ) -> None:
        row = {
            "ids": list(alert_ids),
            "channel": channel,
            "kind": kind,
            "at": at,
            "delivered_at": at if failure is None else None,
            "failure": None if failure is None else storable(failure),
        }
        with transaction(self._pool) as connection:
            connection.execute(_NOTE, row)


def _delivery(row: Any) -> Delivery:
    alert_id, name, subject, kind, attempts, tried_at, delivered_at, failure = row
    return Delivery(
        alert_id=alert_id,
        name=name,
        subject=subject,
        kind=kind,
        attempts=attempts,
        tried_at=tried_at.astimezone(UTC),
        delivered_at=delivered_at and delivered_at.astimezone(UTC),
        failure=failure,
    )
