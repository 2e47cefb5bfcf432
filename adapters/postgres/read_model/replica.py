"""Read models of a standby, and of the primary where the standby does not answer or is too far behind.

A look at how far it is behind is taken by the reads themselves, once a second at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import Any, Generic, TypeVar

import structlog
from psycopg.errors import QueryCanceled

from adapters.postgres.connection.deadline_pool import DeadlinePool
from adapters.postgres.read_model.read_models import PostgresReadModels
from adapters.postgres.read_model.view import Pool, read_connection
from projections.audit.steps import AuditTrailRow
from projections.dispatch.projection import DispatchRow
from projections.dr_event.projection import DREventRow
from projections.facility import FacilityRow
from projections.portfolio.projection import PortfolioRow
from projections.queries.replica import ReadSource
from projections.queries.views import (
    DeadlinesView,
    Page,
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
"""A replica that failed is not asked for so long."""
CHECK_WITHIN_S = 3.0
"""A look that has been under way for longer found a replica that hangs: nobody else asks it until it answers."""
ANSWER_WITHIN_S = 5
MAX_LAG_S = 30.0
"""One further behind is not read from."""
TResult = TypeVar("TResult")

# All that was received is replayed: it is as far as the primary, but only while somebody still sends. One that was
# started alone and found no transaction to replay has at least what its last checkpoint has.
_LAG = """
SELECT CASE
    WHEN NOT pg_is_in_recovery() THEN 0
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE greatest(0, extract(epoch FROM clock_timestamp() - coalesce(
        pg_last_xact_replay_timestamp(), (SELECT checkpoint_time FROM pg_control_checkpoint()))))
END::float8
"""


def replica_pool(dsn: str, *, size: int, connect_within_s: float) -> DeadlinePool:
    """For ReplicaReadModels: no read of a replica that hangs holds a thread for good."""
    return DeadlinePool(
        dsn,
        answer_within_s=ANSWER_WITHIN_S,
        min_size=1,
        max_size=size,
        open=True,
        timeout=connect_within_s,
    )


class ReplicaReadModels:
    """ReplicatedReadModels. `pool` is of the replica, `primary` what is read instead."""

    def __init__(
        self, pool: Pool, primary: ReadModels, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._primary = primary
        self._monotonic = monotonic
        self._checking = Lock()
        self._check_began: float | None = None
        """Of the look that is under way."""
        self._checked_at: float | None = None
        self._lag_s: float | None = None
        """None: it has not answered yet, or not any more."""
        self._current_until = float("-inf")
        """Of the monotonic clock: what the primary had by then it has too, by the best look since it answers."""
        self.replica_only: ReadModels = PostgresReadModels(pool)
        models = self.replica_only
        self.dr_events: View[DREventRow] = _FallbackView(self, models.dr_events, primary.dr_events)
        self.dispatches: View[DispatchRow] = _FallbackView(self, models.dispatches, primary.dispatches)
        self.facilities: View[FacilityRow] = _FallbackView(self, models.facilities, primary.facilities)
        self.portfolio: View[PortfolioRow] = _FallbackView(self, models.portfolio, primary.portfolio)
        self.audit_trail: View[AuditTrailRow] = _FallbackView(self, models.audit_trail, primary.audit_trail)

    @property
    def deadlines(self) -> DeadlinesView:
        """Whoever acts on them needs the newest."""
        return self._primary.deadlines

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
            found = of_primary()  # raises where neither answers: then there is nobody to go to
            if not isinstance(error.__cause__, QueryCanceled):  # one read took long: it answers all the same
                self._mark_failed(error)
            return found

    def check_replica(self, *, at_once: bool = False) -> None:
        """If it is time: one thread looks, and the others go by what was seen before."""
        if not self._is_time(at_once=at_once) or not self._checking.acquire(blocking=False):
            return
        try:
            if self._is_time(at_once=at_once):
                began = self._check_began = self._monotonic()
                with read_connection(self._pool) as connection:
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
            raise ReadModelsUnavailable("the replica does not tell how far behind it is")
        if self._lag_s is None:
            log.info("the replica is read from")
            self._current_until = float("-inf")
        # Without its primary it knows when the last transaction was, and no more that nothing came after it.
        self._current_until = max(self._current_until, began_at - float(row[0]))
        self._lag_s = float(row[0])

    def _is_time(self, *, at_once: bool) -> bool:
        if self._checked_at is None:
            return True
        pause_s = RETRY_AFTER_S if self._lag_s is None and not at_once else CHECK_EVERY_S
        return self._monotonic() - self._checked_at >= pause_s

    def _mark_failed(self, error: Exception) -> None:
        if self._lag_s is not None or self._checked_at is None:
            log.warning("the replica does not answer: the primary is read instead", why=str(error))
        self._lag_s, self._checked_at = None, self._monotonic()


class _FallbackView(Generic[Row]):
    """One read model of two places."""

    def __init__(self, models: ReplicaReadModels, replica: View[Row], primary: View[Row]) -> None:
        self._models = models
        self._replica = replica
        self._primary = primary

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        """What the replica does not have (yet) is looked for on the primary."""
        found = self.read_consistently(lambda view: view.get(key, tenant=tenant))
        return self._primary.get(key, tenant=tenant) if found is None else found

    def by_key(self, keys: Collection[str]) -> Mapping[str, Row]:
        """What the replica does not have (yet) is looked for on the primary."""
        found = self.read_consistently(lambda view: view.by_key(keys))
        missing = [key for key in keys if key not in found]
        return {**found, **self._primary.by_key(missing)} if missing else found

    def version(self) -> RowsVersion | None:
        return self.read_consistently(lambda view: view.version())

    def listed(self, **arguments: Any) -> Page[Row]:
        return self.read_consistently(lambda view: view.listed(**arguments))

    def read_consistently(self, read: Callable[[View[Row]], TResult]) -> TResult:
        return self._models.with_fallback(lambda: read(self._replica), lambda: read(self._primary))
