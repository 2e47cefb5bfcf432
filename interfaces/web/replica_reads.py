"""Reads of the replica beside its read models: forecasts, and past states of the log that it has in full (ADR 0047)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import structlog

from application.ports.event_store.event_store import EventStoreUnavailable
from application.ports.forecast.past_forecasts import PastForecasts
from application.ports.forecast.scores import ForecastScores
from application.ports.operations.unavailable import OperationsUnavailable
from projections.audit.stream_log import AsOf, StreamLog, StreamLogUnavailable
from projections.queries.replica import ReplicatedReadModels

TResult = TypeVar("TResult")
AWAY = (EventStoreUnavailable, OperationsUnavailable, StreamLogUnavailable)
_log = structlog.get_logger("replica")


@dataclass(frozen=True)
class ReplicaReads:
    """The reads of a web process from the replica. Calls are synchronous."""

    models: ReplicatedReadModels
    """They check the replica, and say whether it is used now."""
    log: StreamLog
    past_forecasts: PastForecasts
    forecast_scores: ForecastScores

    def read(self, of_replica: Callable[[], TResult | None], of_primary: Callable[[], TResult]) -> TResult:
        """The value of the replica; of the primary if the replica is not used, does not answer, or gives None."""
        self.models.check_replica()
        if self.models.source().name == "replica":
            try:
                found = of_replica()
            except AWAY as error:
                _log.warning("the replica does not answer: a read uses the primary", why=str(error))
                found = None
            if found is not None:
                return found
        return of_primary()

    def read_past(self, as_of: AsOf, read: Callable[[StreamLog], TResult], primary: StreamLog) -> TResult:
        """The result of `read` of a past state of the log, which is the same on both servers where the replica has it.
        Raises the errors of `read`."""
        return self.read(
            lambda: read(self.log) if has_state(self.log, as_of) else None, lambda: read(primary)
        )


def has_state(log: StreamLog, as_of: AsOf) -> bool:
    """True if that state lies in this log in full. One by time does once something is recorded behind it."""
    head = log.head()  # read first: what is replayed meanwhile may belong to the state
    return log.prefix_end(as_of) < head if isinstance(as_of, datetime) else as_of <= head
