"""Read models of a standby, with fallback to the primary if the standby does not answer or lags too far
behind.

Reads check the lag themselves, at most once a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import Any, Generic, TypeVar

import structlog
from psycopg.errors import QueryCanceled

from adapters.postgres.connection.pool import PostgresPool
from adapters.postgres.connection.transaction import autocommit_connection
from adapters.postgres.read_model.read_models import PostgresReadModels
from adapters.postgres.read_model.view import ERRORS, Pool
from projections.audit.steps import AuditTrailRow
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow
from projections.facility import FacilityRow
from projections.portfolio.projection import PortfolioRow
from projections.queries.replica import ReadSource
from projections.queries.views import (
    DeadlinesView,
    Page,
    PlanningQueue,
    ProjectionPosition,
    ReadModels,
    ReadModelsUnavailable,
    Row,
    RowsVersion,
    View,
)

log = structlog.get_logger("replica")

CHECK_EVERY_S = 1.0
RETRY_AFTER_S = 5.0
"""A replica that failed is retried after this time."""
CHECK_WITHIN_S = 3.0
"""If a check takes longer, the replica hangs: no other read uses it until it answers."""
ANSWER_WITHIN_S = 5
MAX_LAG_S = 30.0
"""A replica that lags further is not used for reads."""
TResult = TypeVar("TResult")

# If everything received is replayed, the replica is as current as the primary, but only while a WAL sender is
# connected. A standby that was started alone and has replayed no transaction has at least the state of its
# last checkpoint.
_LAG = """
SELECT CASE
    WHEN NOT pg_is_in_recovery() THEN 0
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE greatest(0, extract(epoch FROM clock_timestamp() - coalesce(
        pg_last_xact_replay_timestamp(), (SELECT checkpoint_time FROM pg_control_checkpoint()))))
END::float8
"""


def replica_pool(dsn: str, *, size: int, connect_within_s: float) -> PostgresPool:
    """Pool for ReplicaReadModels: a replica that hangs blocks no thread permanently."""
    return PostgresPool(
        dsn,
        application_name="gridproof replica",
        answer_within_s=ANSWER_WITHIN_S,
        min_size=1,
        max_size=size,
        open=True,
        timeout=connect_within_s,
    )


def replica_problem(pool: Pool) -> str | None:
    """Why reads do not use the replica now; None: they do."""
    try:
        with autocommit_connection(pool, ERRORS) as connection:
            row = connection.execute(_LAG).fetchone()
    except ReadModelsUnavailable as error:
        return f"it does not answer: {error}"
    lag_s = float(row[0]) if row else 0.0
    return f"it is {lag_s:.0f} s behind" if lag_s > MAX_LAG_S else None


class ReplicaReadModels:
    """Implements ReplicatedReadModels. `pool` connects to the replica; `primary` is the fallback."""

    def __init__(
        self, pool: Pool, primary: ReadModels, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._primary = primary
        self._monotonic = monotonic
        self._checking = Lock()
        self._check_began: float | None = None
        """Start of the check in progress."""
        self._checked_at: float | None = None
        self._lag_s: float | None = None
        """None if the replica has not answered yet, or no longer answers."""
        self._current_until = float("-inf")
        """Monotonic time up to which the replica has the primary's data, by the best check since it began to
        answer."""
        self.replica_only: ReadModels = PostgresReadModels(pool)
        models = self.replica_only
        self.dr_events: View[DREventRow] = _FallbackView(self, models.dr_events, primary.dr_events)
        self.dispatches: View[DispatchRow] = _FallbackView(self, models.dispatches, primary.dispatches)
        self.facilities: View[FacilityRow] = _FallbackView(self, models.facilities, primary.facilities)
        self.portfolio: View[PortfolioRow] = _FallbackView(self, models.portfolio, primary.portfolio)
        self.audit_trail: View[AuditTrailRow] = _FallbackView(self, models.audit_trail, primary.audit_trail)

    @property
    def deadlines(self) -> DeadlinesView:
        """Always of the primary: whoever acts on deadlines needs the newest state."""
        return self._primary.deadlines

    def planning_queue(self, *, tenant: str | None, limit: int) -> PlanningQueue:
        """Always of the primary: a limit is checked against the newest state."""
        return self._primary.planning_queue(tenant=tenant, limit=limit)

    def positions(self) -> list[ProjectionPosition]:
        return self._primary.positions()

    def source(self) -> ReadSource:
        lag_s = self._lag_s
        if lag_s is None or lag_s > MAX_LAG_S or self._hangs():
            return ReadSource(name="primary", lag_s=0.0)
        return ReadSource(name="replica", lag_s=lag_s)

    def age_s(self) -> float | None:
        return None if self._lag_s is None or self._hangs() else self._monotonic() - self._current_until

    def with_fallback(self, of_replica: Callable[[], TResult], of_primary: Callable[[], TResult]) -> TResult:
        self.check_replica()
        if self.source().name == "primary":
            return of_primary()
        try:
            return of_replica()
        except ReadModelsUnavailable as error:
            result = of_primary()  # raises if neither answers
            if not isinstance(error.__cause__, QueryCanceled):  # only this read took too long
                self._mark_failed(error)
            return result

    def check_replica(self, *, at_once: bool = False) -> None:
        """Check the replica if a check is due. One thread checks; the others use the previous result."""
        if not self._is_time(at_once=at_once) or not self._checking.acquire(blocking=False):
            return
        try:
            if self._is_time(at_once=at_once):
                began = self._check_began = self._monotonic()
                with autocommit_connection(self._pool, ERRORS) as connection:
                    row = connection.execute(_LAG).fetchone()
                self._record_lag(began, row)
                self._checked_at = self._monotonic()
        except ReadModelsUnavailable as error:
            self._mark_failed(error)
        finally:
            self._check_began = None
            self._checking.release()

    def _hangs(self) -> bool:
        began = self._check_began
        return began is not None and self._monotonic() - began > CHECK_WITHIN_S

    def _record_lag(self, began_at: float, row: tuple[float] | None) -> None:
        if row is None:
            raise ReadModelsUnavailable("the replica does not report its lag")
        if self._lag_s is None:
            log.info("reads use the replica")
            self._current_until = float("-inf")
        # Without its primary the replica knows the time of its last transaction, but not whether another one
        # followed.
        self._current_until = max(self._current_until, began_at - float(row[0]))
        self._lag_s = float(row[0])

    def _is_time(self, *, at_once: bool) -> bool:
        if self._checked_at is None:
            return True
        pause_s = RETRY_AFTER_S if self._lag_s is None and not at_once else CHECK_EVERY_S
        return self._monotonic() - self._checked_at >= pause_s

    def _mark_failed(self, error: Exception) -> None:
        if self._lag_s is not None or self._checked_at is None:
            log.warning("the replica does not answer: reads use the primary", why=str(error))
        self._lag_s, self._checked_at = None, self._monotonic()


class _FallbackView(Generic[Row]):
    """A read model on the replica, with fallback to the primary."""

    def __init__(self, models: ReplicaReadModels, replica: View[Row], primary: View[Row]) -> None:
        self._models = models
        self._replica = replica
        self._primary = primary

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        """A row that the replica does not have (yet) is read from the primary."""
        result = self.read_consistently(lambda view: view.get(key, tenant=tenant))
        return self._primary.get(key, tenant=tenant) if result is None else result

    def by_key(self, keys: Collection[str]) -> Mapping[str, Row]:
        """Rows that the replica does not have (yet) are read from the primary."""
        result = self.read_consistently(lambda view: view.by_key(keys))
        missing = [key for key in keys if key not in result]
        return {**result, **self._primary.by_key(missing)} if missing else result

    def version(self) -> RowsVersion | None:
        return self.read_consistently(lambda view: view.version())

    def listed(self, **arguments: Any) -> Page[Row]:
        return self.read_consistently(lambda view: view.listed(**arguments))

    def read_consistently(self, read: Callable[[View[Row]], TResult]) -> TResult:
        return self._models.with_fallback(lambda: read(self._replica), lambda: read(self._primary))
