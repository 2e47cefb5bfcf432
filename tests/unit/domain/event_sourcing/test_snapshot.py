"""Typed snapshots: an aggregate from a snapshot equals the one from its domain events."""

from datetime import timedelta

import pytest

from application.event_store import forecasts
from domain.aggregates import DEMAND_RESPONSE_AGGREGATES
from domain.dispatch import Dispatch, DispatchState
from domain.event_sourcing.aggregate import Aggregate
from domain.event_sourcing.snapshot import Snapshot, state_type
from domain.facility import FacilityState
from tests.sample_values import NOW, provenance
from tests.state_walks import dispatch_walk


def test_an_aggregate_restored_from_a_snapshot_continues() -> None:
    walk = dispatch_walk()
    for step in ("prepare", "attempt", "success", "commit", "gave_up"):
        walk.take(step)
    original: Dispatch = walk.aggregate

    copy = Snapshot.take(original).mutate(None)
    assert isinstance(copy, Dispatch)
    assert (copy.id, copy.version, copy.state) == (original.id, original.version, original.state)

    at = provenance(NOW + timedelta(hours=1))
    for aggregate in (original, copy):
        aggregate.compensate(at)
    assert list(copy.collect_events()) == list(original.collect_events())
    assert copy.state == original.state


def test_the_state_type_of_an_aggregate_comes_from_its_base() -> None:
    assert state_type(Dispatch) is DispatchState
    for kind in (*DEMAND_RESPONSE_AGGREGATES, *forecasts.AGGREGATES):
        assert state_type(kind).__name__ == f"{kind.__name__}State"
    assert FacilityState in {state_type(kind) for kind in DEMAND_RESPONSE_AGGREGATES}


def test_an_aggregate_without_a_typed_state_is_refused_by_name() -> None:
    class Vague(Aggregate):  # type: ignore[type-arg]
        TOPIC = "vague"

        class Event(Aggregate.Event, frozen=True, kw_only=True):
            TOPIC = "vague.event"

    Vague.__orig_bases__ = ()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="Vague must derive from Aggregate"):
        state_type(Vague)
