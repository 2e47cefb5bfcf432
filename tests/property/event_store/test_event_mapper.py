"""Every domain event and state is decoded to an equal one, for any content."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from eventsourcing.utils import get_topic, resolve_topic
from hypothesis import given, settings
from hypothesis import strategies as st

from application.event_store import forecasts
from application.event_store.event_mapper import decode_stored, encode_state
from domain.aggregates import DEMAND_RESPONSE_AGGREGATES
from domain.event_sourcing.aggregate import DomainEvent
from domain.event_sourcing.snapshot import Snapshot, state_type
from domain.facility import Facility
from tests.architecture.topics import current_topics
from tests.sample_values import NOW
from tests.sizes import examples
from tests.strategies import MOMENTS, structs_of

AGGREGATES = (*DEMAND_RESPONSE_AGGREGATES, *forecasts.AGGREGATES)
TOPICS = sorted(current_topics())
VERSIONS = st.integers(1, 9)


def written_and_read(stored: Any) -> Any:
    return decode_stored(
        get_topic(type(stored)), stored.originator_id, stored.originator_version, encode_state(stored)
    )


@pytest.mark.parametrize("topic", TOPICS)
@settings(max_examples=examples(20))
@given(data=st.data())
def test_a_decoded_domain_event_equals_the_encoded_one(topic: str, data: st.DataObject) -> None:
    drawn = data.draw(structs_of(resolve_topic(topic)))
    domain_event = msgspec.structs.replace(drawn, originator_version=data.draw(VERSIONS))
    read = written_and_read(domain_event)
    assert read == domain_event
    assert type(read) is type(domain_event)


@pytest.mark.parametrize("topic", TOPICS)
@settings(max_examples=examples(5))
@given(data=st.data())
def test_the_encoded_domain_event_excludes_its_stream_and_version(topic: str, data: st.DataObject) -> None:
    """The stream and the version are columns; all other fields are one JSON object."""
    domain_event: DomainEvent = data.draw(structs_of(resolve_topic(topic)))
    stored = msgspec.json.decode(encode_state(domain_event))
    names = {field.encode_name for field in msgspec.structs.fields(type(domain_event))}
    assert stored.keys() == names - {"originator_id", "originator_version"}


@pytest.mark.parametrize("kind", AGGREGATES, ids=lambda kind: kind.__name__)
@settings(max_examples=examples(60))
@given(data=st.data())
def test_a_decoded_snapshot_equals_the_encoded_state(kind: Any, data: st.DataObject) -> None:
    """Every field keeps its type, such as datetime or set."""
    aggregate = kind.__new__(kind)
    created, modified = data.draw(MOMENTS), data.draw(MOMENTS)
    aggregate.__base_init__(data.draw(st.uuids()), data.draw(st.integers(1, 10_000)), created)
    aggregate.modified_on = modified
    aggregate.__dict__["_state"] = data.draw(structs_of(state_type(kind)))

    snapshot = written_and_read(Snapshot.take(aggregate))
    assert isinstance(snapshot, Snapshot)
    again = snapshot.mutate(None)

    assert type(again) is kind
    assert again.state == aggregate.state
    assert (again.id, again.version) == (aggregate.id, aggregate.version)
    assert (again.created_on, again.modified_on) == (created, modified)
    assert list(again.pending_events) == []


def test_text_that_looks_like_a_field_stays_text() -> None:
    tricky = ',"originator_version":99,"'
    domain_event = Facility.MaintenanceStarted(
        originator_id=UUID(int=1),
        originator_version=3,
        timestamp=NOW,
        correlation_id=UUID(int=2),
        causation_id=UUID(int=3),
        actor=tricky,
        tenant=tricky,
        trace_id=tricky,
        reason=tricky,
    )
    assert written_and_read(domain_event) == domain_event
