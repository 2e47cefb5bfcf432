"""The first upcaster in a trial: a class becomes v2, and the stored example of v1 is read through the upcaster.

The golden file is the one of the released version. Only the class and the upcaster are invented.
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
    """Like v1, with the reason split in two, and a time that v1 did not have."""

    TOPIC: ClassVar[str] = NEW
    reason_code: str
    reason_text: str
    expected_until: datetime | None = None


def split_reason(stored: dict[str, Any]) -> dict[str, Any]:
    others = {name: value for name, value in stored.items() if name != "reason"}
    return {**others, "reason_code": "unknown", "reason_text": stored["reason"]}


def lossy_upcaster(stored: dict[str, Any]) -> dict[str, Any]:
    """A faulty upcaster: its result has a field that the decoder ignores."""
    return {**split_reason(stored), "expected_til": stored["recorded_at"]}


@pytest.fixture
def newer_release() -> Iterator[None]:
    """A release with v2 and its upcaster; v1 exists only as a topic."""
    register_topic(NEW, MaintenanceStartedV2)
    UPCASTERS[OLD] = Upcaster(NEW, split_reason)
    event_mapper._decoding.cache_clear()
    yield
    UPCASTERS.pop(OLD, None)
    event_mapper._decoding.cache_clear()


def test_the_stored_example_of_v1_is_read_completely_as_v2(newer_release: None) -> None:
    document = golden(golden_file(OLD))
    stored = assert_read_whole(document)
    assert isinstance(stored, MaintenanceStartedV2)
    assert get_topic(type(stored)) == NEW
    assert stored.reason_text == document["state"]["reason"]
    assert (stored.reason_code, stored.expected_until) == ("unknown", None)
    assert stored.actor == document["state"]["actor"]


def test_a_query_for_v2_returns_v1_too(newer_release: None) -> None:
    assert stored_topics([NEW]) == [OLD, NEW]


def test_a_lossy_upcaster_is_detected(newer_release: None) -> None:
    """The decoder would ignore a misspelt field; the corpus detects it."""
    UPCASTERS[OLD] = Upcaster(NEW, lossy_upcaster)
    event_mapper._decoding.cache_clear()
    with pytest.raises(AssertionError, match="expected_til"):
        assert_read_whole(golden(golden_file(OLD)))


def test_a_v2_without_its_upcaster_cannot_read_v1(newer_release: None) -> None:
    UPCASTERS[OLD] = Upcaster(NEW, dict)
    event_mapper._decoding.cache_clear()
    with pytest.raises(UnreadableDomainEvent, match="reason_code"):
        assert_read_whole(golden(golden_file(OLD)))
