"""The checks of PostgreSQL's connections for `gridproof doctor`: their budget, and the roles that they use."""

from __future__ import annotations

import time
from typing import Any

from application.ports.operations.heartbeats import SILENT_S
from interfaces.bootstrap.connection_budget import budget_of_worker, total_budget
from interfaces.bootstrap.doctor.result import CheckResult
from interfaces.bootstrap.health.admission import reserved_connections
from interfaces.settings.settings import Settings

WITHIN_S = 5.0


def check_connections(settings: Settings, url: str) -> CheckResult:
    """The connection budgets of a default system and of the processes that run, against what the server allows, and
    what is open now."""
    budget, running = total_budget(settings), _running_budget(settings, url)
    sql = (
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        " - coalesce(current_setting('reserved_connections', true)::int, 0), "
        "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())"
    )
    allowed, in_use, _ = first_row(url, sql)
    detail = (
        f"at most {budget} by one process of each worker and two of dispatch, {running} by the processes that run, "
        f"{allowed} allowed, {in_use} open"
    )
    facts = {"budget": budget, "running": running, "allowed": allowed, "open": in_use}
    if max(budget, running + reserved_connections(settings)) <= allowed:
        return CheckResult(check="connections", state="ok", detail=detail, facts=facts)
    advice = (
        "raise max_connections of the server (`gridproof capacity` says to what): no further process starts beyond it; "
        "see docs/guides/servers.md, PostgreSQL connections"
    )
    return CheckResult(check="connections", state="warning", detail=detail, advice=advice, facts=facts)


def _running_budget(settings: Settings, url: str) -> int:
    """The connections that the processes which report may open; 0 before the migrations."""
    import psycopg.errors

    sql = (
        "SELECT array_agg(worker) FROM gridproof.process_heartbeats "
        "WHERE seen_at > clock_timestamp() - make_interval(secs => %s)"
    )
    try:
        workers, _ = first_row(url, sql, SILENT_S)
    except psycopg.errors.UndefinedTable:
        return 0
    return sum(budget_of_worker(worker, settings) for worker in workers or ())


def check_database_roles(url: str) -> CheckResult:
    """Whether the kinds of workers can have roles of their own, and which roles are connected now."""
    from adapters.postgres.schema.worker_roles import WORKER_ROLES

    sql = (
        "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)), "
        "(SELECT string_agg(role || ' ' || sessions, ', ' ORDER BY role) FROM ("
        "SELECT usename AS role, count(*) AS sessions FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY usename) connected)"
    )
    existing, connected, _ = first_row(url, sql, list(WORKER_ROLES))
    detail = f"sessions: {connected or 'none but this'}"
    if existing == len(WORKER_ROLES):
        return CheckResult(check="database roles", state="ok", detail=detail)
    return CheckResult(
        check="database roles",
        state="warning",
        detail=f"{existing} of {len(WORKER_ROLES)} roles of workers exist, the others use the application's; {detail}",
        advice=f"create {', '.join(WORKER_ROLES)}, run `gridproof migrate`, and "
        "give each worker the address of its own (docs/guides/production.md, Roles of workers)",
    )


def first_row(url: str, sql: str, *parameters: Any) -> tuple[Any, ...]:
    """The first row of the answer, and the duration of a second query in ms."""
    from adapters.postgres.connection.session import open_session

    with open_session(url, "gridproof doctor", connect_within_s=int(WITHIN_S)) as connection:
        connection.execute(sql.encode(), parameters)
        started = time.perf_counter()
        row = connection.execute(sql.encode(), parameters).fetchone()
        took_ms = (time.perf_counter() - started) * 1_000
    return (*(row or ()), took_ms)
