"""The contract of EventStore, in memory and on PostgreSQL: all or nothing, one winner, one order."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import pytest

from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_log import EventLog
from application.ports.event_store.event_store import (
    ONE_DECISION,
    WHOLE_DR_EVENT,
    EventStore,
    IdempotencyKeyTaken,
    IdempotencyRecord,
    KeyWithoutDomainEvents,
    SaveRequest,
    SaveTooLarge,
    StreamNotFound,
    VersionConflict,
)
from domain.dr_event import DREvent
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.fakes.event_store.event_store import FakeEventStore
from tests.sample_values import NOW, provenance, trusted_snapshots

HALL = facility_stream_id("fac-001")


class StoreAndLog(EventStore, EventLog, Protocol):
    """Both sides of one store."""


@pytest.fixture(params=["fake", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[StoreAndLog]:
    if request.param == "fake":
        yield FakeEventStore()
        return
    postgres = PostgresEventStore(
        DemandResponse, request.getfixturevalue("database").app_dsn, snapshots=trusted_snapshots()
    )
    yield postgres
    postgres.close()


def registered(facility_id: str = "fac-001") -> Facility:
    return Facility.register(
        provenance(), facility_id=facility_id, tz="UTC", latitude=1.5, longitude=2.5, weather_cell="cell-1"
    )


def answer(key: str = "k-1", body: str = "hash", reply: bytes = b'"first"') -> IdempotencyRecord:
    return IdempotencyRecord("util-1 POST", key, body, reply)


def test_a_saved_aggregate_is_loaded_unchanged(store: StoreAndLog) -> None:
    facility = registered()
    facility.start_maintenance(provenance(), reason="boiler")
    store.save([facility])

    loaded = store.load(Facility, HALL)
    assert (loaded.id, loaded.version, loaded.state) == (HALL, 2, facility.state)
    assert loaded.state.status == "maintenance"
    assert loaded.modified_on == NOW


def test_loading_a_stream_without_events_is_refused(store: StoreAndLog) -> None:
    with pytest.raises(StreamNotFound, match="no Facility"):
        store.load(Facility, HALL)


def test_the_second_of_two_saves_of_one_version_fails_and_saves_nothing(store: StoreAndLog) -> None:
    store.save([registered(), registered("fac-002")])
    first, second = store.load(Facility, HALL), store.load(Facility, HALL)
    other = store.load(Facility, facility_stream_id("fac-002"))
    first.start_maintenance(provenance(), reason="boiler")
    second.deactivate(provenance(), reason="sold")
    other.deactivate(provenance(), reason="sold")
    store.save([first])
    head = store.head()

    with pytest.raises(VersionConflict):
        store.save([other, second], idempotency=answer())

    assert store.head() == head
    assert store.load(Facility, HALL).state.status == "maintenance"
    assert store.load(Facility, facility_stream_id("fac-002")).state.status == "active"
    assert store.find_reply("util-1 POST", "k-1") is None


def test_a_failed_save_clears_the_pending_events_of_the_aggregate(store: StoreAndLog) -> None:
    """The aggregate must be loaded again: a second save of the same object would save nothing without an error."""
    store.save([registered()])
    loser = registered()
    with pytest.raises(VersionConflict):
        store.save([loser])

    assert list(loser.pending_events) == []
    head = store.head()
    store.save([loser])
    assert store.head() == head


def test_a_key_is_stored_with_its_domain_events_and_can_be_read(store: StoreAndLog) -> None:
    assert store.find_reply("util-1 POST", "k-1") is None
    store.save([registered()], idempotency=answer())

    assert store.find_reply("util-1 POST", "k-1") == answer()
    assert store.find_reply("util-2 POST", "k-1") is None
    assert store.find_reply("util-1 POST", "k-2") is None


def test_a_duplicate_key_has_its_own_error_and_saves_nothing(store: StoreAndLog) -> None:
    store.save([registered()], idempotency=answer())
    head = store.head()

    with pytest.raises(IdempotencyKeyTaken):
        store.save([registered("fac-002")], idempotency=answer(reply=b'"second"'))

    assert store.head() == head
    assert store.find_reply("util-1 POST", "k-1") == answer()
    with pytest.raises(StreamNotFound):
        store.load(Facility, facility_stream_id("fac-002"))


def test_a_key_without_domain_events_is_refused(store: StoreAndLog) -> None:
    store.save([registered()])
    unchanged = store.load(Facility, HALL)

    with pytest.raises(KeyWithoutDomainEvents, match="k-1"):
        store.save([unchanged], idempotency=answer())
    assert store.find_reply("util-1 POST", "k-1") is None


def test_saving_an_aggregate_without_pending_events_changes_nothing(store: StoreAndLog) -> None:
    store.save([registered()])
    head = store.head()
    store.save([store.load(Facility, HALL)])
    store.save([])
    assert store.head() == head


def test_the_store_continues_after_a_failure(store: StoreAndLog) -> None:
    store.save([registered()], idempotency=answer())
    for _ in range(3):
        with pytest.raises(IdempotencyKeyTaken):
            store.save([registered("fac-002")], idempotency=answer())
        with pytest.raises(VersionConflict):
            store.save([registered()])
    store.save([registered("fac-002")], idempotency=answer("k-2"))
    assert store.load(Facility, facility_stream_id("fac-002")).version == 1


def test_the_log_is_in_the_order_of_the_saves(store: StoreAndLog) -> None:
    assert (store.head(), store.read_after(0, 10)) == (0, [])
    store.save([registered()])
    facility = store.load(Facility, HALL)
    facility.start_maintenance(provenance(), reason="boiler")
    dr_event = DREvent.open(provenance(), utility_id="util-1", utility_event_id="e-1")
    store.save([facility, dr_event])

    entries = store.read_after(0, 10)
    assert [entry.topic for entry in entries] == [
        "facility.registered.v1",
        "facility.maintenance-started.v1",
        "dr-event.opened.v1",
    ]
    assert [type(entry.domain_event) for entry in entries] == [
        Facility.Registered,
        Facility.MaintenanceStarted,
        DREvent.Opened,
    ]
    positions = [entry.position for entry in entries]
    assert positions == sorted(set(positions))
    assert store.head() == positions[-1]


def test_the_log_is_read_in_batches_from_a_position(store: StoreAndLog) -> None:
    for number in range(5):
        store.save([registered(f"fac-{number}")])
    first = store.read_after(0, 2)
    second = store.read_after(first[-1].position, 2)
    third = store.read_after(second[-1].position, 2)
    rest = store.read_after(third[-1].position, 2)

    facilities = [entry.domain_event for entry in [*first, *second, *third]]
    assert [f.facility_id for f in facilities if isinstance(f, Facility.Registered)] == [
        f"fac-{number}" for number in range(5)
    ]
    assert rest == []


def test_a_domain_event_of_the_log_carries_its_provenance(store: StoreAndLog) -> None:
    store.save([registered()])
    [entry] = store.read_after(0, 10)
    found = entry.domain_event
    assert (found.originator_id, found.originator_version) == (HALL, 1)
    assert found.correlation_id == UUID(int=0xC0)
    assert found.causation_id == UUID(int=0xCA)
    assert (found.actor, found.tenant, found.recorded_at) == ("utility:util-1", "util-1", NOW)


def test_a_long_stream_is_loaded_like_a_short_one(store: StoreAndLog) -> None:
    """The stream has several snapshots if the store takes snapshots."""
    facility = registered()
    for number in range(120):
        at = provenance(NOW + timedelta(seconds=number))
        if number % 2 == 0:
            facility.start_maintenance(at, reason=f"number {number}")
        else:
            facility.end_maintenance(at)
        if number % 7 == 0:
            store.save([facility])
            facility = store.load(Facility, HALL)
    store.save([facility])

    loaded = store.load(Facility, HALL)
    assert (loaded.version, loaded.state) == (121, facility.state)
    loaded.start_maintenance(provenance(), reason="once more")
    store.save([loaded])
    assert store.load(Facility, HALL).state.status == "maintenance"


def test_many_streams_are_loaded_together_as_recorded(store: StoreAndLog) -> None:
    halls = [registered(f"fac-00{number}") for number in range(1, 4)]
    store.save(halls)
    wanted = [facility_stream_id(name) for name in ("fac-003", "fac-001", "fac-404", "fac-003")]

    found = store.load_many(Facility, wanted)

    assert [facility.state.facility_id for facility in found.values()] == ["fac-003", "fac-001"]
    assert [(f.version, f.state) for f in found.values()] == [
        (f.version, f.state) for f in (store.load(Facility, i) for i in found)
    ]


def test_a_load_includes_the_events_recorded_since_the_previous_load(store: StoreAndLog) -> None:
    store.save([registered()])
    first = store.load_many(Facility, [HALL])[HALL]
    for number in range(60):  # beyond a snapshot
        facility = store.load(Facility, HALL)
        if number % 2:
            facility.end_maintenance(provenance())
        else:
            facility.start_maintenance(provenance(), reason=f"boiler {number}")
        store.save([facility])
        again = store.load_many(Facility, [HALL])[HALL]
        assert (again.version, again.state) == (facility.version, facility.state)
    assert (first.version, first.state.status) == (1, "active")


def test_an_aggregate_loaded_among_many_can_be_changed_and_saved(store: StoreAndLog) -> None:
    store.save([registered()])
    winner, loser = store.load_many(Facility, [HALL])[HALL], store.load_many(Facility, [HALL])[HALL]
    winner.start_maintenance(provenance(), reason="boiler")
    loser.start_maintenance(provenance(), reason="roof")
    store.save([winner])
    with pytest.raises(VersionConflict):
        store.save([loser])
    assert store.load_many(Facility, [HALL])[HALL].version == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [(ONE_DECISION.domain_events, "boiler"), (2, "x" * ONE_DECISION.byte_count)],
    ids=["events", "bytes"],
)
def test_a_save_over_the_limits_is_refused_and_saves_nothing(
    store: StoreAndLog, changes: int, reason: str
) -> None:
    facility = registered()
    for number in range(changes):
        if number % 2:
            facility.end_maintenance(provenance())
        else:
            facility.start_maintenance(provenance(), reason=reason)

    with pytest.raises(SaveTooLarge, match="split the command"):
        store.save([facility], idempotency=answer())

    assert list(facility.pending_events) == []
    assert store.head() == 0
    assert store.find_reply("util-1 POST", "k-1") is None


def test_a_save_for_a_whole_dr_event_may_be_larger(store: StoreAndLog) -> None:
    facility = registered()
    for _ in range(ONE_DECISION.domain_events):
        facility.start_maintenance(provenance(), reason="boiler")
        facility.end_maintenance(provenance())
    store.save([facility], bounds=WHOLE_DR_EVENT)
    assert store.load(Facility, HALL).version == 2 * ONE_DECISION.domain_events + 1


def test_a_large_save_within_the_limits_is_saved(store: StoreAndLog) -> None:
    facility = registered()
    for _ in range(125):
        facility.start_maintenance(provenance(), reason="boiler")
        facility.end_maintenance(provenance())
    store.save([facility], idempotency=answer())
    assert store.load(Facility, HALL).version == 251
    assert store.find_reply("util-1 POST", "k-1") == answer()


def test_each_of_several_saves_made_together_has_its_own_outcome(store: StoreAndLog) -> None:
    store.save([registered(), registered("fac-002")], idempotency=answer("taken"))
    winner, loser = store.load(Facility, HALL), store.load(Facility, HALL)
    other = store.load(Facility, facility_stream_id("fac-002"))
    winner.start_maintenance(provenance(), reason="boiler")
    loser.deactivate(provenance(), reason="sold")
    other.deactivate(provenance(), reason="sold")
    new, nothing, keyed = registered("fac-003"), store.load(Facility, HALL), registered("fac-004")

    outcomes = store.save_each(
        [
            SaveRequest([winner], answer("k-1")),
            SaveRequest([loser], answer("k-2")),
            SaveRequest([nothing], answer("k-3")),
            SaveRequest([nothing]),
            SaveRequest([other, new], answer("k-4")),
            SaveRequest([keyed], answer("taken")),
        ]
    )

    assert [None if outcome is None else type(outcome) for outcome in outcomes] == [
        None,
        VersionConflict,
        KeyWithoutDomainEvents,
        None,
        None,
        IdempotencyKeyTaken,
    ]
    assert store.load(Facility, HALL).state.status == "maintenance"
    assert store.load(Facility, facility_stream_id("fac-002")).state.status == "deactivated"
    assert store.load(Facility, facility_stream_id("fac-003")).version == 1
    with pytest.raises(StreamNotFound):
        store.load(Facility, facility_stream_id("fac-004"))
    keys = [("util-1 POST", key) for key in ("k-1", "k-2", "k-3", "k-4", "taken")]
    found = store.find_replies(keys)
    assert {key for _, key in found} == {"k-1", "k-4", "taken"}
    assert all(found[key] == store.find_reply(*key) for key in found)


def test_many_simultaneous_saves_are_all_stored_in_order(store: StoreAndLog) -> None:
    """The saves exceed the size of one transaction."""
    ids = [f"fac-{number:04}" for number in range(700)]
    assert set(store.save_each([SaveRequest([registered(facility_id)]) for facility_id in ids])) == {None}
    recorded = [entry.domain_event.originator_id for entry in store.read_after(0, 1_000)]
    assert recorded == [facility_stream_id(facility_id) for facility_id in ids]
