"""Says that this cluster continues a log that another one wrote: after a dump was loaded, or pg_upgrade (ADR 0102).

It also says so of a cluster whose timeline is lower than the recorded one, which only pg_resetwal can lead to.
"""

from __future__ import annotations

import psycopg

from adapters.postgres.connection.session import open_unfenced_session
from adapters.postgres.connection.timeline import TIMELINE
from adapters.postgres.schema.migrate import MIGRATE, MigrationError

_ACCEPT = f"""
INSERT INTO gridproof.log_timelines (log, cluster, timeline, after_position, accepted_by)
SELECT newest.log, %(cluster)s, {TIMELINE}, CASE newest.log
    WHEN 'forecasts_events' THEN (SELECT coalesce(max(notification_id), 0) FROM gridproof.forecasts_events)
    ELSE (SELECT coalesce(max(notification_id), 0) FROM gridproof.demand_response_events) END, session_user
FROM (SELECT DISTINCT ON (log) log, cluster, timeline FROM gridproof.log_timelines ORDER BY log, number DESC) newest
WHERE newest.cluster <> %(cluster)s OR newest.timeline > {TIMELINE}
"""  # noqa: S608 - no values in it


def accept_cluster(owner_dsn: str, cluster: int) -> int:
    """Record that the cluster continues the log; the number of logs that another one wrote until now.

    `cluster` is its system identifier, so that nobody accepts another server than he means. Raises MigrationError.
    """
    try:
        with open_unfenced_session(owner_dsn, MIGRATE, connect_within_s=10) as session:
            if session.server.cluster != cluster:
                raise MigrationError(
                    f"the server at {session.info.host}:{session.info.port} is the cluster "
                    f"{session.server.cluster}, not {cluster}"
                )
            return session.execute(_ACCEPT.encode(), {"cluster": cluster}).rowcount
    except psycopg.Error as error:
        raise MigrationError(f"the cluster could not be accepted: {error}") from error
