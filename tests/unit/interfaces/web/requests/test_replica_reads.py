"""Forecasts of the present and past states of the log come from the replica where it has them."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from application.ports.event_store.event_store import EventStoreUnavailable
from domain.forecast import CYCLE
from interfaces.web.caching.audit_cache import AuditDocumentCache
from interfaces.web.replica_reads import ReplicaReads, has_state
from projections.audit.stream_log import PositionAhead
from tests.fakes.forecast.past_forecasts import FakePastForecasts
from tests.fakes.forecast.scores import FakeForecastScores
from tests.fakes.replicated_read_models import FakeReplicatedReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.issued_forecasts import CYCLE_START, issued_forecast
from tests.property.projections.projected_logs import PortfolioWalk
from tests.unit.interfaces.web.api.test_forecast import AT, FORECAST, SCORE, Foreseen


class Away(FakePastForecasts):
    def in_force(self, *_: Any, **__: Any) -> Any:
        raise EventStoreUnavailable("the replica is away")


class Replicated(Foreseen):
    """A facility with a forecast of 90 kW on the replica, and a newer one of 100 kW on the primary alone."""

    def __init__(self, *, lag_s: float = 0.0, there: FakePastForecasts | None = None) -> None:
        super().__init__()
        self.replica = self.edge.add_replica(lag_s=lag_s)
        self.there = FakePastForecasts() if there is None else there
        if there is None:
            self.there.note(issued_forecast("fac-001", CYCLE_START - CYCLE, 90.0))
        self.scores_there = FakeForecastScores()
        self.edge.others["replica_reads"] = ReplicaReads(
            self.replica, FakeStreamLog(), self.there, self.scores_there
        )
        self.issue(1, 90.0)
        self.issue(0, 100.0)

    def kw(self, query: str = "", **headers: str) -> float:
        self.key |= headers
        found: float = self.document(query)["steps"][0]["kw"]["p50"]
        return found


def test_a_forecast_of_now_comes_from_the_replica() -> None:
    assert Replicated().kw() == 90.0


def test_a_forecast_comes_from_the_primary_where_the_replica_cannot_know() -> None:
    assert Replicated().kw("?as_of=2026-07-14T20:05:00Z") == 100.0
    assert Replicated().kw(Prefer="wait=1") == 100.0
    assert Replicated(there=FakePastForecasts()).kw() == 100.0, "it has none yet"
    assert Replicated(there=Away()).kw() == 100.0
    assert Replicated(lag_s=31.0).kw() == 100.0, "it is too far behind"


def test_a_forecast_of_a_replica_that_is_behind_is_labelled() -> None:
    document = Replicated(lag_s=7.0).document()
    assert (document["stale"], document["source"]) == (True, "replica")
    assert document["age_s"] >= 7.0
    assert "source" not in Replicated(lag_s=7.0).document("?as_of=2026-07-14T20:05:00Z")


def test_the_accuracy_comes_from_the_replica_and_else_from_the_primary() -> None:
    replicated, path = Replicated(), FORECAST + "/accuracy"
    replicated.scores.kept.append((AT.date(), replace(SCORE, quarters=8)))
    assert replicated.get(path=path).json()["accuracy"][0]["quarters"] == 8, "it has none yet"
    replicated.scores_there.kept.append((AT.date(), SCORE))
    assert replicated.get(path=path).json()["accuracy"][0]["quarters"] == 4
    replicated.scores_there.available = False
    assert replicated.get(path=path).json()["accuracy"][0]["quarters"] == 8, "it does not answer"


class Counted(FakeStreamLog):
    """Counts what is read of the log."""

    reads = 0

    def read_streams(self, *arguments: Any, **named: Any) -> Any:
        self.reads += 1
        return super().read_streams(*arguments, **named)


def test_an_audit_of_a_past_position_comes_from_the_replica_that_has_it() -> None:
    walk = PortfolioWalk()
    walk.happy()
    primary, replica = Counted(walk.entries), Counted(walk.entries[:-1])
    models = FakeReplicatedReadModels(None, None)
    reads = ReplicaReads(models, replica, FakePastForecasts(), FakeForecastScores())
    audits, dr_event = AuditDocumentCache(primary, reads), walk.dr_events[0]
    expected = AuditDocumentCache(FakeStreamLog(walk.entries))

    for as_of in (replica.head(), walk.entries[-2].domain_event.recorded_at - timedelta(microseconds=1)):
        assert audits.read(dr_event.id, as_of=as_of) == expected.read(dr_event.id, as_of=as_of)
    assert (primary.reads, replica.reads > 0) == (0, True)

    seen = replica.reads
    for past in (primary.head(), walk.entries[-1].domain_event.recorded_at, None):
        assert audits.read(dr_event.id, as_of=past) == expected.read(dr_event.id, as_of=past)
    with pytest.raises(PositionAhead):
        audits.read(dr_event.id, as_of=primary.head() + 1)
    with models.failing():
        audits.read(dr_event.id, as_of=replica.head())
    assert replica.reads == seen


def test_a_log_has_a_state_once_it_can_no_longer_change() -> None:
    walk = PortfolioWalk()
    walk.happy()
    log = FakeStreamLog(walk.entries)
    last = walk.entries[-1].domain_event.recorded_at
    assert has_state(log, log.head())
    assert not has_state(log, log.head() + 1)
    assert has_state(log, last - timedelta(microseconds=1))
    assert not has_state(log, last)
