"""Alerts in PostgreSQL, and the statements of those who observe them. How long a statement counts is wall time, by the
database's clock; when an alert began and ended is the system's time."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from psycopg_pool import ConnectionPool

from adapters.postgres.connection.transaction import transaction
from adapters.postgres.event_store.acts import WallTime, append_acts
from adapters.postgres.wire_format.text import storable
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
)
from domain.administration import AdministrativeAct
from domain.errors import ReasonRequired

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('gridproof.alerts ' || %s, 0))"
"""Statements of one name are written one after the other: who withdraws one sees whether another one counts."""
_COUNTS = """counts_until > clock_timestamp() AND (cleared_until IS NULL OR seen_at >= cleared_until)"""
_STATE = """
INSERT INTO gridproof.alert_statements AS known (name, subject, observer, detail, seen_at, counts_until)
SELECT %(name)s, subject, %(observer)s, detail, clock_timestamp(),
    CASE WHEN %(holds_s)s = 'infinity'::float8 THEN 'infinity'
        ELSE clock_timestamp() + %(holds_s)s * interval '1 s' END
FROM unnest(%(subjects)s::text[], %(details)s::text[]) AS said (subject, detail)
ON CONFLICT (name, subject, observer) DO UPDATE
    SET detail = excluded.detail, seen_at = excluded.seen_at, counts_until = excluded.counts_until
"""
_WITHDRAW = """
DELETE FROM gridproof.alert_statements WHERE name = %(name)s AND observer = %(observer)s
    AND CASE WHEN %(gone)s::text[] IS NULL THEN subject <> ALL (%(subjects)s) ELSE subject = ANY (%(gone)s) END
"""
"""Where it is not known what was stated before, `gone` is NULL."""
_BEGIN = f"""
INSERT INTO gridproof.alerts AS open_alert (name, subject, severity, detail, raised_at, last_seen_at)
SELECT name, subject, %(severity)s, detail, %(at)s, %(at)s FROM gridproof.alert_statements
WHERE name = %(name)s AND observer = %(observer)s AND subject = ANY (%(subjects)s) AND {_COUNTS}
ON CONFLICT (name, subject) WHERE cleared_at IS NULL DO UPDATE
    SET severity = excluded.severity, detail = excluded.detail,
        last_seen_at = greatest(open_alert.last_seen_at, excluded.last_seen_at)
"""  # noqa: S608 - our own condition
_UNSTATED = f"""
cleared_at IS NULL AND NOT EXISTS (
    SELECT FROM gridproof.alert_statements AS statement
    WHERE statement.name = alerts.name AND statement.subject = alerts.subject AND {_COUNTS})
"""
COLUMNS = (
    "alert_id, name, subject, severity, detail, raised_at, last_seen_at, cleared_at, acknowledged_at, acknowledged_by,"
    " acknowledgement, cleared_by, clear_reason"
)
_END = f"""
UPDATE gridproof.alerts SET cleared_at = greatest(last_seen_at, %(at)s)
WHERE name = %(name)s AND (%(gone)s::text[] IS NULL OR subject = ANY (%(gone)s)) AND {_UNSTATED} RETURNING {COLUMNS}
"""  # noqa: S608 - our own condition and column names
_UNSTATED_NAMES = f"SELECT DISTINCT name FROM gridproof.alerts WHERE {_UNSTATED}"  # noqa: S608 - our own condition
_FORGET = "DELETE FROM gridproof.alert_statements WHERE counts_until < clock_timestamp() - interval '30 days'"
"""What nobody has stated for so long: the observer will not come back for it."""
_STATED = "SELECT subject, detail FROM gridproof.alert_statements WHERE name = %s AND observer = %s ORDER BY subject"
_PUT_BACK = """
UPDATE gridproof.alert_statements SET cleared_until = clock_timestamp() + %s * interval '1 s'
WHERE name = %s AND subject = %s
"""
_LOCK_OF = """
SELECT pg_advisory_xact_lock(hashtextextended('gridproof.alerts ' || name, 0)) FROM gridproof.alerts WHERE alert_id = %s
"""
_COUNT = "SELECT name, count(*) FROM gridproof.alerts WHERE cleared_at IS NULL GROUP BY name"
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
    """`pool` connects as the application's role, which can begin and end alerts but not delete one.

    What it has written is remembered, so that the same statement is written each STATED_EVERY_S: an observer keeps one
    register.
    """

    def __init__(
        self,
        pool: ConnectionPool[Any],
        wall_time: WallTime = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._wall_time = wall_time
        self._monotonic = monotonic
        self._written: dict[tuple[str, str], tuple[dict[str, str], float]] = {}
        """(name, observer) -> what it stated last, and when."""

    def state(
        self,
        name: str,
        stated: Mapping[str, str],
        *,
        observer: str,
        at: datetime,
        holds_s: float = SILENT_S,
    ) -> None:
        severity, said = ALERTS[name].severity, {storable(one): storable(stated[one]) for one in stated}
        last, written_at_s = self._written.get((name, observer), (None, 0.0))
        now_s = self._monotonic()
        if is_known := last is not None and now_s - written_at_s < STATED_EVERY_S:
            now_s = written_at_s  # what has not changed is not written, and is due as before
        known: Mapping[str, str] = last if last is not None and is_known else {}
        changed = {one: detail for one, detail in said.items() if known.get(one) != detail}
        gone = sorted(known.keys() - said.keys()) if is_known else None
        if is_known and not changed and not gone:
            return
        row = {
            "name": name,
            "observer": storable(observer),
            "severity": severity,
            "subjects": list(changed),
            "details": list(changed.values()),
            "gone": gone,
            "holds_s": holds_s,
            "at": at,
        }
        with transaction(self._pool) as connection:
            connection.execute(_LOCK, (name,))
            connection.execute(_STATE, row)
            connection.execute(_WITHDRAW, row)
            connection.execute(_BEGIN.encode(), row)
            connection.execute(_END.encode(), row)
        self._written[name, observer] = said, now_s

    def stated(self, name: str, *, observer: str) -> dict[str, str]:
        with transaction(self._pool) as connection:
            return dict(connection.execute(_STATED, (name, storable(observer))).fetchall())

    def end_unseen(self, *, at: datetime) -> list[Alert]:
        with transaction(self._pool) as connection:
            connection.execute(_FORGET)
            names = [name for (name,) in connection.execute(_UNSTATED_NAMES.encode())]
        ended: list[Alert] = []
        for name in names:
            with transaction(self._pool) as connection:
                connection.execute(_LOCK, (name,))
                ended += [
                    alert_of(row)
                    for row in connection.execute(_END.encode(), {"name": name, "gone": None, "at": at})
                ]
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
        row = {"alert_id": alert_id, "by": storable(by), "reason": storable(reason), "at": at}
        with transaction(self._pool) as connection:
            connection.execute(_LOCK_OF, (alert_id,))
            decided = connection.execute(_DECIDE[decision].encode(), row).fetchone()
            if decided is not None:
                alert = alert_of(decided)
                if decision == "cleared":
                    connection.execute(_PUT_BACK, (CLEARED_FOR_S, alert.name, alert.subject))
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
