"""The loads while a large DR event ends or changes are proportional to its facilities, not to their square."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from application.commands.dispatch import NoteRestore
from application.commands.dr_event import CompleteDREvent, MeasureDREvent, ReallocateShortfall
from application.ports.event_store.event_store import TAggregate
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from tests.fakes.event_store.event_store import FakeEventStore
from tests.in_process_system import InProcessSystem
from tests.sample_values import DR_EVENT_ID, zone_entry
from tests.unit.application.dr_event.test_cancellation import measured

FORTY = tuple(f"fac-{number:03}" for number in range(1, 41))


class DispatchLoadCounter(FakeEventStore):
    """Counts loaded dispatches and round trips."""

    def __init__(self, counted: FakeEventStore) -> None:
        super().__init__()
        self.__dict__.update(vars(counted))
        self.dispatches, self.round_trips = 0, 0

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        self._count(aggregate_class, 1)
        return super().load(aggregate_class, stream_id)

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        self._count(aggregate_class, len(stream_ids))
        return {stream_id: FakeEventStore.load(self, aggregate_class, stream_id) for stream_id in stream_ids}

    def _count(self, aggregate_class: type[object], number: int) -> None:
        if aggregate_class is Dispatch:
            self.dispatches += number
            self.round_trips += number > 0


def counting(there: InProcessSystem) -> DispatchLoadCounter:
    """Count from now on."""
    store = DispatchLoadCounter(there.scenario.store)
    there.scenario.store = store
    there.scenario.bus._store = store
    return store


def ending_one_after_the_other() -> tuple[InProcessSystem, DispatchLoadCounter]:
    """Recovering: the buildings are released in the order of the plan, with a completion check after each."""
    zones = (zone_entry("hall", rebound_ramp_s=600),)
    there = InProcessSystem.accepted(*FORTY, target_kw=2_000.0, zones=zones).until("recovering")
    return there, counting(there)


def test_completion_checks_load_few_dispatches_in_total() -> None:
    there, store = ending_one_after_the_other()
    spent = []
    while there.dr_event.status == "recovering":
        before = store.dispatches
        there.scenario.after(CompleteDREvent(dr_event_id=DR_EVENT_ID))
        spent.append(store.dispatches - before)
        if there.dr_event.status == "recovering":
            there.restore_next()
    assert len(spent) > len(FORTY) / 2
    assert sum(spent) <= 3 * len(FORTY) + len(spent)
    assert max(spent) <= len(FORTY)


@pytest.mark.parametrize("policy", ["reallocate", "abort"])
def test_a_failed_facility_needs_one_round_trip(policy: str) -> None:
    there = InProcessSystem.accepted(*FORTY, target_kw=2_000.0, terms={"shortfall_policy": policy}).until(
        "active"
    )
    store = counting(there)
    there.scenario.after(ReallocateShortfall(dr_event_id=DR_EVENT_ID))
    assert (store.round_trips, store.dispatches) == (1, len(FORTY))


def test_measuring_loads_few_dispatches_in_total() -> None:
    there = InProcessSystem.accepted(*FORTY, target_kw=2_000.0).until("completed")
    store = counting(there)
    for facility_id in FORTY:
        there.scenario.after(measured(facility_id, 40.0))
        there.scenario.after(MeasureDREvent(dr_event_id=DR_EVENT_ID))
    assert there.scenario.store.load(DREvent, DR_EVENT_ID).state.delivered_kw == 40.0 * len(FORTY)
    own = len(FORTY)  # each is loaded to record its measurement
    assert store.dispatches <= own + 2 * len(FORTY) + len(FORTY)


def test_noting_a_restore_loads_only_its_own_dispatch() -> None:
    there, store = ending_one_after_the_other()
    there.scenario.after(NoteRestore(dr_event_id=DR_EVENT_ID, facility_id="fac-001"))
    assert store.dispatches == 1
