"""Alerts in PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.event_store.acts import WallTime, append_acts
from adapters.postgres.wire_format.text import storable
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

_RAISE = """
INSERT INTO gridproof.alerts AS open_alert (name, subject, severity, detail, raised_at, last_seen_at)
VALUES (%(name)s, %(subject)s, %(severity)s, %(detail)s, %(at)s, %(at)s)
ON CONFLICT (name, subject) WHERE cleared_at IS NULL DO UPDATE
    SET severity = excluded.severity, detail = excluded.detail,
        last_seen_at = greatest(open_alert.last_seen_at, excluded.last_seen_at)
"""
_CLEAR = """
UPDATE gridproof.alerts SET cleared_at = greatest(last_seen_at, %s)
WHERE name = %s AND subject = %s AND cleared_at IS NULL
"""
_COUNT = "SELECT name, count(*) FROM gridproof.alerts WHERE cleared_at IS NULL GROUP BY name"
COLUMNS = (
    "alert_id, name, subject, severity, detail, raised_at, last_seen_at, cleared_at, acknowledged_at, acknowledged_by,"
    " acknowledgement, cleared_by, clear_reason"
)
_DECIDE: dict[AlertDecision, str] = {
    "acknowledged": f"""
UPDATE gridproof.alerts SET acknowledged_at = greatest(raised_at, %(at)s), acknowledged_by = %(by)s,
    acknowledgement = %(reason)s
WHERE alert_id = %(alert_id)s AND cleared_at IS NULL AND acknowledged_at IS NULL RETURNING {COLUMNS}
""",  # noqa: S608 - our own column names
    "cleared": f"""
UPDATE gridproof.alerts SET cleared_at = greatest(last_seen_at, %(at)s), cleared_by = %(by)s, clear_reason = %(reason)s
WHERE alert_id = %(alert_id)s AND cleared_at IS NULL RETURNING {COLUMNS}
""",  # noqa: S608 - our own column names
}
_GET = f"SELECT {COLUMNS} FROM gridproof.alerts WHERE alert_id = %s"  # noqa: S608 - our own column names
_LIST = f"""
SELECT {COLUMNS} FROM gridproof.alerts
WHERE (%(include_cleared)s OR cleared_at IS NULL)
    AND (%(raised_at)s::timestamptz IS NULL OR (raised_at, alert_id) < (%(raised_at)s, %(alert_id)s::bigint))
ORDER BY raised_at DESC, alert_id DESC LIMIT %(limit)s
"""  # noqa: S608 - our own column names
_ABOUT = f"""
SELECT {COLUMNS} FROM gridproof.alerts
WHERE cleared_at IS NULL AND (subject = %(subject)s OR starts_with(subject, %(subject)s || '/'))
ORDER BY raised_at DESC, alert_id DESC LIMIT %(limit)s
"""  # noqa: S608 - our own column names


class PostgresAlerts:
    """`pool` connects as the application's role, which can raise and clear alerts but not delete one."""

    def __init__(self, pool: ConnectionPool[Any], wall_time: WallTime = None) -> None:
        self._pool = pool
        self._wall_time = wall_time

    def raise_alert(self, name: str, subject: str, detail: str, *, at: datetime) -> None:
        row = {
            "name": name,
            "subject": storable(subject),
            "severity": ALERTS[name].severity,
            "detail": storable(detail),
            "at": at,
        }
        with transaction(self._pool) as connection:
            connection.execute(_RAISE, row)

    def clear(self, name: str, subject: str, *, at: datetime) -> None:
        with transaction(self._pool) as connection:
            connection.execute(_CLEAR, (at, name, storable(subject)))

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
        row = {"alert_id": alert_id, "by": storable(by), "reason": storable(reason), "at": at}
        with transaction(self._pool) as connection:
            decided = connection.execute(_DECIDE[decision].encode(), row).fetchone()
            if decided is not None:
                alert = alert_of(decided)
                append_acts(connection, [act_of(alert)], self._wall_time)
                return alert
            found = connection.execute(_GET, (alert_id,)).fetchone()
        if found is None:
            raise AlertNotFound(f"no alert {alert_id}; list them with `gridproof alerts list`")
        ended = alert_of(found).cleared_at is not None
        raise AlertDecided(f"alert {alert_id} {'has ended' if ended else 'is acknowledged already'}")

    def open_by_name(self) -> dict[str, int]:
        with transaction(self._pool) as connection:
            return dict(connection.execute(_COUNT).fetchall())

    def open_about(self, subject: str, *, limit: int = 100) -> list[Alert]:
        parameters = {"subject": storable(subject), "limit": limit}
        with transaction(self._pool) as connection:
            return [alert_of(row) for row in connection.execute(_ABOUT, parameters)]

    def listed(
        self, *, include_cleared: bool = False, limit: int = 200, after: AlertCursor | None = None
    ) -> list[Alert]:
        parameters = {
            "include_cleared": include_cleared,
            "limit": limit,
            "raised_at": None if after is None else after.raised_at,
            "alert_id": None if after is None else after.alert_id,
        }
        with transaction(self._pool) as connection:
            return [alert_of(row) for row in connection.execute(_LIST, parameters)]


def alert_of(row: Any) -> Alert:
    alert_id, name, subject, severity, detail, raised_at, last_seen_at, cleared_at, *decided = row
    acknowledged_at, acknowledged_by, acknowledgement, cleared_by, clear_reason = decided
    return Alert(
        alert_id=alert_id,
        name=name,
        subject=subject,
        severity=severity,
        detail=detail,
        raised_at=raised_at.astimezone(UTC),
        last_seen_at=last_seen_at.astimezone(UTC),
        cleared_at=cleared_at and cleared_at.astimezone(UTC),
        acknowledged_at=acknowledged_at and acknowledged_at.astimezone(UTC),
        acknowledged_by=acknowledged_by,
        acknowledgement=acknowledgement,
        cleared_by=cleared_by,
        clear_reason=clear_reason,
    )
