"""What the handlers of a batch load is prefetched once, and each gets aggregates of its own."""

from collections.abc import Sequence
from uuid import UUID

from application.command_bus.prefetch import PrefetchedStreams
from application.commands.dispatch import PrepareDispatch
from application.ports.event_store.event_store import TAggregate
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.sample_values import DR_EVENT_ID
from tests.unit.application.command_bus.test_command_bus import ContestedStore
from tests.unit.application.command_bus.test_handle_all import over_facilities

FIRST, SECOND = facility_stream_id("fac-0"), facility_stream_id("fac-1")


class Counting:
    """The streams of a store, and which of them were asked for together."""

    def __init__(self, store: ContestedStore) -> None:
        self._store = store
        self.asked: list[list[UUID]] = []

    def load(self, aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        return self._store.load(aggregate_class, stream_id)

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        self.asked.append(list(stream_ids))
        return self._store.load_many(aggregate_class, stream_ids)


def prefetched() -> tuple[Counting, PrefetchedStreams]:
    store, _ = over_facilities(2)
    counting = Counting(store)
    streams = PrefetchedStreams(counting, [PrepareDispatch(dr_event_id=DR_EVENT_ID, facility_id="fac-0")])
    counting.asked.clear()
    return counting, streams


def test_each_command_gets_a_copy_of_what_was_prefetched() -> None:
    counting, streams = prefetched()
    [one], [other] = (streams.load_many(Facility, [FIRST]).values() for _ in range(2))
    assert one is not other
    assert one is not streams.load(Facility, FIRST)
    assert (one.id, one.state) == (other.id, other.state)
    assert counting.asked == []


def test_streams_of_which_some_were_not_prefetched_are_loaded_at_one_moment() -> None:
    counting, streams = prefetched()
    assert list(streams.load_many(Facility, [FIRST, SECOND])) == [FIRST, SECOND]
    assert counting.asked == [[FIRST, SECOND]]
