"""ReplicatedReadModels over any two sets of read models in memory."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from projections.queries.replica import ReadSource
from projections.queries.views import (
    Page,
    PlanningQueue,
    ProjectionPosition,
    ReadModelsUnavailable,
    Row,
    RowsVersion,
    View,
)

VIEWS = ("dr_events", "dispatches", "facilities", "portfolio", "audit_trail")
MOST_LAG_S = 30.0
TAnswer = TypeVar("TAnswer")


class FakeReplicatedReadModels:
    """`there` is the replica's content, `lag_s` its lag. The state is read at every call."""

    def __init__(
        self,
        there: Any,
        primary: Any,
        *,
        lag_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.there = there
        self.primary = primary
        self.lag_s = lag_s
        self.answers = True
        self.looks = 0
        """The number of replica checks with `at_once`."""
        self._monotonic = monotonic
        self._known_lag_s: float | None = None
        self._knows_until = float("-inf")
        self.replica_only: Any = _ReplicaOnly(self)
        self.dr_events: Any = _EitherView(self, "dr_events")
        self.dispatches: Any = _EitherView(self, "dispatches")
        self.facilities: Any = _EitherView(self, "facilities")
        self.portfolio: Any = _EitherView(self, "portfolio")
        self.audit_trail: Any = _EitherView(self, "audit_trail")

    @property
    def deadlines(self) -> Any:
        return self.primary.deadlines

    def planning_queue(self, *, tenant: str | None, limit: int) -> PlanningQueue:
        counted: PlanningQueue = self.primary.planning_queue(tenant=tenant, limit=limit)
        return counted

    def positions(self) -> list[ProjectionPosition]:
        found: list[ProjectionPosition] = self.primary.positions()
        return found

    @contextmanager
    def failing(self) -> Iterator[None]:
        self.answers = False
        try:
            yield
        finally:
            self.answers = True

    def source(self) -> ReadSource:
        lag_s = self._known_lag_s
        if lag_s is None or lag_s > MOST_LAG_S:
            return ReadSource(name="primary", lag_s=0.0)
        return ReadSource(name="replica", lag_s=lag_s)

    def check_replica(self, *, at_once: bool = False) -> None:
        self.looks += at_once
        if not self.answers:
            self._known_lag_s, self._knows_until = None, float("-inf")
            return
        self._known_lag_s = self.lag_s
        self._knows_until = max(self._knows_until, self._monotonic() - self.lag_s)

    def age_s(self) -> float | None:
        return None if self._known_lag_s is None else self._monotonic() - self._knows_until

    def of_replica(self, name: str) -> Any:
        if not self.answers:
            raise ReadModelsUnavailable("ordered not to answer")
        return getattr(self.there, name)

    def read_consistently(self, name: str, read: Callable[[Any], TAnswer]) -> TAnswer:
        self.check_replica()
        if self.source().name == "replica":
            try:
                return read(self.of_replica(name))
            except ReadModelsUnavailable:
                self._known_lag_s = None
        return read(getattr(self.primary, name))


class _ReplicaOnly:
    """The replica's read models, without the primary's."""

    def __init__(self, models: FakeReplicatedReadModels) -> None:
        for name in VIEWS:
            setattr(self, name, _ReplicaOnlyView(models, name))


class _Reading(Generic[Row]):
    def __init__(self, models: FakeReplicatedReadModels, name: str) -> None:
        self._models = models
        self._name = name

    def read_consistently(self, read: Callable[[View[Row]], TAnswer]) -> TAnswer:
        return self._models.read_consistently(self._name, read)

    def version(self) -> RowsVersion | None:
        return self.read_consistently(lambda view: view.version())

    def listed(self, **asked: Any) -> Page[Row]:
        return self.read_consistently(lambda view: view.listed(**asked))

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        return self.read_consistently(lambda view: view.get(key, tenant=tenant))

    def by_key(self, keys: Collection[str]) -> Mapping[str, Row]:
        return self.read_consistently(lambda view: view.by_key(keys))


class _ReplicaOnlyView(_Reading[Row]):
    def read_consistently(self, read: Callable[[View[Row]], TAnswer]) -> TAnswer:
        return read(self._models.of_replica(self._name))


class _EitherView(_Reading[Row]):
    """Rows that the replica lacks are read from the primary."""

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        found = super().get(key, tenant=tenant)
        return self._primary.get(key, tenant=tenant) if found is None else found

    def by_key(self, keys: Collection[str]) -> Mapping[str, Row]:
        found = super().by_key(keys)
        missing = [key for key in keys if key not in found]
        return {**found, **self._primary.by_key(missing)} if missing else found

    @property
    def _primary(self) -> View[Row]:
        view: View[Row] = getattr(self._models.primary, self._name)
        return view
