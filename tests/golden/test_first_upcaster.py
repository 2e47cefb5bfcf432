"""The day of the first upcaster, rehearsed: a class of ours becomes v2, and the file that v1 left is read through it.

The golden file is the real one, of the release that is out; only the class and the upcaster are made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar

import pytest
from eventsourcing.utils import get_topic, register_topic

from application.event_store import event_mapper
from application.event_store.event_mapper import UnreadableDomainEvent
from application.event_store.upcasters import UPCASTERS, Upcaster, stored_topics
from domain.facility import Facility
from tests.golden.test_golden_corpus import assert_read_whole, golden
from tests.golden.topics import golden_file

OLD, NEW = "facility.maintenance-started.v1", "facility.maintenance-started.v2"


class MaintenanceStartedV2(Facility.Event, frozen=True, kw_only=True):
    """As v1, with the reason split in two, and a moment that older ones did not know."""

    TOPIC: ClassVar[str] = NEW
    reason_code: str
    reason_text: str
    expected_until: datetime | None = None


def split_reason(stored: dict[str, Any]) -> dict[str, Any]:
    others = {name: value for name, value in stored.items() if name != "reason"}
    return {**others, "reason_code": "unknown", "reason_text": stored["reason"]}


def lose_the_trace(stored: dict[str, Any]) -> dict[str, Any]:
    """A careless one: what it makes has another value than what is decoded keeps."""
    return {**split_reason(stored), "expected_til": stored["recorded_at"]}


@pytest.fixture
def newer_release() -> Iterator[None]:
    """Knows v2 and its upcaster, and v1 only by name."""
    register_topic(NEW, MaintenanceStartedV2)
    UPCASTERS[OLD] = Upcaster(NEW, split_reason)
    event_mapper._decoding.cache_clear()
    yield
    UPCASTERS.pop(OLD, None)
    event_mapper._decoding.cache_clear()


def test_the_stored_example_of_v1_is_read_whole_as_v2(newer_release: None) -> None:
    document = golden(golden_file(OLD))
    stored = assert_read_whole(document)
    assert isinstance(stored, MaintenanceStartedV2)
    assert get_topic(type(stored)) == NEW
    assert stored.reason_text == document["state"]["reason"]
    assert (stored.reason_code, stored.expected_until) == ("unknown", None)
    assert stored.actor == document["state"]["actor"]


def test_whoever_looks_for_v2_in_the_log_finds_v1_too(newer_release: None) -> None:
    assert stored_topics([NEW]) == [OLD, NEW]


def test_an_upcaster_whose_work_is_lost_on_the_way_is_noticed(newer_release: None) -> None:
    """A misspelt field would be ignored by the decoder; the corpus does not let it pass."""
    UPCASTERS[OLD] = Upcaster(NEW, lose_the_trace)
    event_mapper._decoding.cache_clear()
    with pytest.raises(AssertionError, match="expected_til"):
        assert_read_whole(golden(golden_file(OLD)))


def test_a_v2_without_its_upcaster_cannot_read_v1(newer_release: None) -> None:
    UPCASTERS[OLD] = Upcaster(NEW, dict)
    event_mapper._decoding.cache_clear()
    with pytest.raises(UnreadableDomainEvent, match="reason_code"):
        assert_read_whole(golden(golden_file(OLD)))
