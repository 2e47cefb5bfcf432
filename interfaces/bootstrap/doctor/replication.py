"""The checks of what a failover needs: timelines, standbys, keepalives, and replicas."""

from __future__ import annotations

from interfaces.bootstrap.doctor.result import CheckFailed, CheckResult
from interfaces.bootstrap.operations import replica_problem
from interfaces.bootstrap.stores import Stores, replica_url

RUNBOOK = "see docs/runbooks/{}.md"
MOST_KEEPALIVE_IDLE_S = 60
"""After it, and some seconds more, the server notices that a host has vanished. Its default is two hours."""
_TIMELINES = """
SELECT cluster, timeline, after_position, begun_at FROM gridproof.log_timelines
WHERE log = 'demand_response_events' ORDER BY number DESC LIMIT 1
"""


def check_timelines(stores: Stores) -> str:
    """On which timeline the log is written, and that no other host of the address takes writes."""
    from adapters.postgres.connection.transaction import transaction
    from adapters.postgres.operations.database_server import PostgresDatabaseServer

    replaced = PostgresDatabaseServer(stores.pool).replaced()
    if replaced:
        places = ", ".join(f"{place.address} on timeline {place.timeline}" for place in replaced)
        raise CheckFailed(f"replaced, and takes writes: {places}", RUNBOOK.format("older_timeline"))
    with transaction(stores.pool) as connection:
        row = connection.execute(_TIMELINES).fetchone()
    if row is None:
        return "nothing was saved yet"
    cluster, timeline, after, begun_at = row
    return f"{timeline} of cluster {cluster}, after position {after} since {begun_at:%Y-%m-%d %H:%M:%SZ}"


def check_standbys(stores: Stores) -> CheckResult:
    from adapters.postgres.operations.database_server import PostgresDatabaseServer
    from interfaces.workers.watch.replication_monitor import standby_problems

    found = PostgresDatabaseServer(stores.pool).standbys()
    wanted = stores.settings.database_standbys
    problems = standby_problems(found, found.attached if wanted is None else wanted)
    detail = f"{found.attached} attached, " + (
        "commits wait for one" if found.synchronous else "no commit waits for one"
    )
    facts = {"attached": found.attached, "synchronous": found.synchronous}
    names = [name for name, about in problems.items() if about]
    if not names:
        return CheckResult(check="standbys", state="ok", detail=detail, facts=facts)
    advice = "; ".join(RUNBOOK.format(name) for name in names)
    return CheckResult(check="standbys", state="warning", detail=detail, advice=advice, facts=facts)


def check_keepalives(stores: Stores) -> CheckResult:
    """How long the server keeps the locks and transactions of a host that vanished. Sessions that hold locks set their
    own keepalives; others do not."""
    from adapters.postgres.connection.transaction import transaction

    with transaction(stores.pool) as connection:
        row = connection.execute("SELECT current_setting('tcp_keepalives_idle')::int").fetchone()
    idle_s = row[0] if row else 0
    if not idle_s:
        return CheckResult(check="keepalives", state="ok", detail="this session is not over TCP")
    if idle_s <= MOST_KEEPALIVE_IDLE_S:
        return CheckResult(check="keepalives", state="ok", detail=f"of the server: after {idle_s} s")
    return CheckResult(
        check="keepalives",
        state="warning",
        detail=f"the server notices a vanished host only after {idle_s} s",
        advice="set tcp_keepalives_idle=5, _interval=2, _count=3, tcp_user_timeout=10000 and "
        "client_connection_check_interval=2s in postgresql.conf",
    )


def check_replica(stores: Stores) -> CheckResult:
    url = replica_url(stores.settings)
    if url is None:
        return CheckResult(
            check="read replica", state="not set", detail="GRIDPROOF_DATABASE_REPLICA_URL is not set"
        )
    problem = replica_problem(url)
    if problem is None:
        return CheckResult(check="read replica", state="ok", detail="reads use it")
    advice = RUNBOOK.format("replica_not_current")
    return CheckResult(check="read replica", state="warning", detail=problem, advice=advice)
