"""What is stored while a process of an older release may still run."""

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent

from application.event_store import newer_topics
from application.event_store.newer_topics import Downcaster, NotExpressible, storable
from application.ports.event_store.event_store import NewerTopicRefused
from domain.facility import Facility
from domain.identifiers import facility_stream_id
from tests.fakes.event_store.event_store import FakeEventStore
from tests.sample_values import provenance

STREAM = facility_stream_id("fac-001")
V1, V2, NEW = "lamp.lit.v1", "lamp.lit.v2", "lamp.sold.v1"


def _older(stored: dict[str, object]) -> dict[str, object]:
    if stored["lumens"] is not None:
        raise NotExpressible("version 1 has no place for lumens")
    return {"colour": stored["colour"]}


@pytest.fixture
def _topics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newer_topics, "NEWER_TOPICS", frozenset({V2, NEW}))
    monkeypatch.setattr(newer_topics, "DOWNCASTERS", {V2: Downcaster(V1, _older)})


def stored(topic: str, **state: object) -> StoredEvent:
    return StoredEvent(STREAM, 3, topic, msgspec.json.encode(state))


@pytest.mark.usefixtures("_topics")
def test_without_older_processes_every_topic_is_stored_as_it_is() -> None:
    lit = stored(V2, colour="red", lumens=800)
    assert storable(lit, with_newer_topics=True) is lit


@pytest.mark.usefixtures("_topics")
def test_a_topic_that_older_releases_know_is_stored_as_it_is() -> None:
    known = stored("lamp.hung.v1", height=2)
    assert storable(known, with_newer_topics=False) is known


@pytest.mark.usefixtures("_topics")
def test_an_older_form_is_stored_while_an_older_process_may_run() -> None:
    older = storable(stored(V2, colour="red", lumens=None), with_newer_topics=False)
    assert (older.topic, msgspec.json.decode(older.state)) == (V1, {"colour": "red"})
    assert (older.originator_id, older.originator_version) == (STREAM, 3)


@pytest.mark.usefixtures("_topics")
def test_what_the_older_form_cannot_say_is_refused_with_what_to_do() -> None:
    with pytest.raises(NewerTopicRefused, match=r"no place for lumens.*gridproof migrate --contract 0\.2"):
        storable(stored(V2, colour="red", lumens=800), with_newer_topics=False)


@pytest.mark.usefixtures("_topics")
def test_a_wholly_new_topic_is_refused_while_an_older_process_may_run() -> None:
    with pytest.raises(NewerTopicRefused, match=r"do not know lamp\.sold\.v1"):
        storable(stored(NEW), with_newer_topics=False)


def test_nothing_of_a_refused_save_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newer_topics, "NEWER_TOPICS", frozenset({Facility.MaintenanceStarted.TOPIC}))
    store = FakeEventStore(with_newer_topics=False)
    facility = Facility.register(
        provenance(), facility_id="fac-001", tz="UTC", latitude=1.5, longitude=2.5, weather_cell="cell-1"
    )
    facility.start_maintenance(provenance(), reason="boiler")
    with pytest.raises(NewerTopicRefused):
        store.save([facility])
    assert store.head() == 0
