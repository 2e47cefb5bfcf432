"""A log written by older releases: every reader sees its domain events in their current versions.

The example is a cancellation: `withdrawn.v1` had its reason in `why`, `withdrawn.v2` renamed the field, and
`cancelled.v1` also names the facilities. The first event of a utility was once called `first-heard`.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgspec
import psycopg
import pytest

from adapters.postgres.audit.stream_log import PostgresStreamLog
from application.event_store import event_mapper
from application.event_store.event_mapper import UnreadableDomainEvent, decode_domain_event
from application.event_store.upcasters import UPCASTERS, Upcaster, UpcasterCycle, present_topic, stored_topics
from application.ports.event_store.event_log import LogEntry
from application.sagas.dispatch import DispatchSaga
from domain.dr_event import DREvent
from domain.event_sourcing.snapshot import Snapshot
from projections.as_of.lists import HistoricalLists
from projections.audit.replay import audit_document, resolve_dr_event
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.integration.projections.conftest import ReadSide
from tests.integration.projections.stored_log import event_log, pool
from tests.property.projections.projected_logs import PortfolioWalk
from tests.sample_values import trusted_snapshots

OLDEST, OLDER, PRESENT = "dr-event.withdrawn.v1", "dr-event.withdrawn.v2", "dr-event.cancelled.v1"
FIRST_HEARD = "dr-event.first-heard.v1"


def _renamed(stored: dict[str, Any]) -> dict[str, Any]:
    return {("reason" if name == "why" else name): value for name, value in stored.items()}


def _with_facilities(stored: dict[str, Any]) -> dict[str, Any]:
    return {**stored, "facility_ids": []}


@pytest.fixture
def upcasters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(UPCASTERS, OLDEST, Upcaster(OLDER, _renamed))
    monkeypatch.setitem(UPCASTERS, OLDER, Upcaster(PRESENT, _with_facilities))
    monkeypatch.setitem(UPCASTERS, FIRST_HEARD, Upcaster("dr-event.opened.v1", dict))
    event_mapper._decoding.cache_clear()
    yield
    event_mapper._decoding.cache_clear()


@pytest.fixture
def walk() -> PortfolioWalk:
    """One DR event that was cancelled before it was planned, and one that continues."""
    made = PortfolioWalk()
    first = made.open_dr_event()
    made.accept(first)
    made._cancel(first)
    made.accept(made.open_dr_event(), 1)
    return made


@pytest.fixture
def old_log(read_side: ReadSide, walk: PortfolioWalk, upcasters: None) -> ReadSide:
    """The log of the walk, as older releases would have written it."""
    read_side.store(walk.entries)
    rewrite(read_side, PRESENT, OLDEST, lambda s: _without(_moved(s, "reason", "why"), "facility_ids"))
    rewrite(read_side, "dr-event.opened.v1", FIRST_HEARD, dict)
    return read_side


def _moved(stored: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {(new if name == old else name): value for name, value in stored.items()}


def _without(stored: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in stored.items() if key != name}


def rewrite(
    read_side: ReadSide, topic: str, old: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        found = connection.execute(
            "SELECT notification_id, state FROM gridproof.demand_response_events WHERE topic = %s", (topic,)
        ).fetchall()
        assert found
        for position, state in found:
            stored = json.dumps(change(json.loads(state)), separators=(",", ":")).encode()
            connection.execute(
                "UPDATE gridproof.demand_response_events SET topic = %s, state = %s WHERE notification_id = %s",
                (old, stored, position),
            )


def test_an_aggregate_is_loaded_from_older_versions(old_log: ReadSide, walk: PortfolioWalk) -> None:
    for dr_event in walk.dr_events:
        assert old_log.log.load(DREvent, dr_event.id).state == dr_event.state


def test_projections_fold_older_versions_like_the_current_ones(
    old_log: ReadSide, walk: PortfolioWalk
) -> None:
    old_log.catch_up()
    assert old_log.differences() == {}
    assert old_log.models.dr_events.listed() == FakeReadModels(walk.entries).dr_events.listed()


def test_the_relay_gives_the_same_commands_for_older_versions(old_log: ReadSide, walk: PortfolioWalk) -> None:
    def followed(entries: list[LogEntry]) -> list[tuple[int, list[Any]]]:
        return [(entry.position, DispatchSaga().follow(entry.domain_event)) for entry in entries]

    read = old_log.log.read_after(0, 1_000)
    assert {OLDEST, FIRST_HEARD} < {entry.topic for entry in read}
    assert followed(read) == followed(walk.entries)


def test_a_stream_is_read_under_its_older_topics(old_log: ReadSide, walk: PortfolioWalk) -> None:
    with pool(old_log.database.app_dsn) as connections:
        log, in_memory = PostgresStreamLog(connections), FakeStreamLog(walk.entries)
        dr_event_id = walk.dr_events[0].id
        assert resolve_dr_event(log, "UTIL-1") == dr_event_id
        assert audit_document(log, dr_event_id) == audit_document(in_memory, dr_event_id)
        head = log.head()
        assert HistoricalLists(log).dr_events(head).rows.listed() == (
            HistoricalLists(in_memory).dr_events(head).rows.listed()
        )


def test_a_snapshot_of_a_stream_with_older_versions_has_the_current_state(
    old_log: ReadSide, walk: PortfolioWalk
) -> None:
    dr_event = walk.dr_events[0]
    store = old_log.log
    assert store._snapshots is not None
    store._snapshots._insert(
        [store._application.mapper.to_stored_event(Snapshot.take(store.load(DREvent, dr_event.id)))]
    )
    assert len(snapshots(old_log, dr_event)) == 1
    with closing(event_log(old_log.database.app_dsn)) as another:
        assert another.load(DREvent, dr_event.id).state == dr_event.state


def test_topics_are_resolved_along_the_chain(upcasters: None) -> None:
    assert [present_topic(topic) for topic in (OLDEST, OLDER, PRESENT)] == [PRESENT] * 3
    assert stored_topics([PRESENT]) == [PRESENT, OLDEST, OLDER]
    assert stored_topics(["facility.registered.v1"]) == ["facility.registered.v1"]


def test_an_older_version_without_a_required_field_is_reported(upcasters: None) -> None:
    with pytest.raises(UnreadableDomainEvent, match=f"{OLDEST}, version 3 of stream"):
        decode_domain_event(OLDEST, "00000000-0000-0000-0000-000000000001", 3, b"{}")


def test_a_cycle_of_upcasters_is_refused(upcasters: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UPCASTERS, PRESENT, Upcaster(OLDEST, dict))
    with pytest.raises(UpcasterCycle, match="come back"):
        present_topic(OLDER)


def test_an_event_without_an_upcaster_is_decoded_once() -> None:
    event_mapper._decoding.cache_clear()
    decode = event_mapper._decoding(PRESENT)
    assert getattr(decode, "__name__", "") == "decode"
    assert isinstance(getattr(decode, "__self__", None), msgspec.json.Decoder)


def snapshots(store: ReadSide, dr_event: DREvent) -> list[tuple[int, dict[str, Any]]]:
    with psycopg.connect(store.database.admin_dsn) as connection:
        found = connection.execute(
            "SELECT originator_version, state FROM gridproof.demand_response_snapshots "
            "WHERE originator_id = %s ORDER BY 1",
            (dr_event.id,),
        ).fetchall()
    return [(version, json.loads(state)) for version, state in found]


@pytest.mark.parametrize("schema", ["", "another-one"])
def test_a_snapshot_with_another_state_schema_is_ignored_and_replaced(
    read_side: ReadSide, schema: str
) -> None:
    walk, store = PortfolioWalk(), read_side.log
    dr_event = loaded = DREvent.open(walk.provenance(), utility_id="util-1", utility_event_id="UTIL-1")
    loaded.accept(
        walk.provenance(),
        notice=walk.notice(("fac-001",), 0),
        program_version=1,
        capacity_kw=100.0,
        capacity_source="forecast",
        shortfall_kw=0.0,
    )
    while loaded.version < 99:  # the first snapshot of each stream is somewhere from 50 to 99
        loaded.request_callback(walk.provenance(), kind="accepted", body="{}")
        store.save([loaded])
    [(first, taken)] = snapshots(read_side, dr_event)
    assert len(taken["state_schema"]) == 16

    misleading = {**taken, "state_schema": schema, "state": {**taken["state"], "status": "completed"}}
    state = json.dumps(misleading).encode()
    mac = trusted_snapshots().mac.of(dr_event.id, first, "snapshot.v1", state)
    with psycopg.connect(read_side.database.admin_dsn) as connection:
        connection.execute(
            "UPDATE gridproof.demand_response_snapshots SET state = %s, mac = %s", (state, mac)
        )
    with_another = event_log(read_side.database.app_dsn)
    assert with_another.load(DREvent, dr_event.id).state == loaded.state
    while loaded.version < 149:
        loaded.request_callback(walk.provenance(), kind="accepted", body="{}")
        with_another.save([loaded])
    assert [version for version, _ in snapshots(read_side, dr_event)] == [first, first + 50]
    assert with_another.load(DREvent, dr_event.id).state == loaded.state
    with_another.close()
