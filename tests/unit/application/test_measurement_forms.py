"""Measurements of version 1 read as version 2, and version 2 stored as version 1 while an older process may run."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from application.event_store.event_mapper import decode_stored, encode_state
from application.event_store.newer_topics import DOWNCASTERS, NEWER_TOPICS
from application.event_store.upcasters import UPCASTERS, upcast
from domain.dispatch import Dispatch, MeasuredDay
from domain.dr_event import DREvent
from tests.fakes.event_store.event_store import FakeEventStore
from tests.golden.topics import golden_file
from tests.measured_figures import figures
from tests.sample_values import DR_EVENT_ID, ENDS_AT, provenance
from tests.state_walks import dispatch_walk

V1 = ("dispatch.measured.v1", "dispatch.remeasured.v1", "dr-event.measured.v1", "dr-event.remeasured.v1")


def example(topic: str) -> dict[str, Any]:
    return dict(json.loads(Path(golden_file(topic)).read_text())["state"])


@pytest.mark.parametrize("topic", V1)
def test_version_1_is_the_same_after_version_2(topic: str) -> None:
    stored, newer = example(topic), UPCASTERS[topic].to
    assert newer in NEWER_TOPICS
    assert DOWNCASTERS[newer].to == topic
    assert DOWNCASTERS[newer].change(upcast(topic, stored)) == stored


@pytest.mark.parametrize("topic", V1)
def test_version_2_is_readable_as_version_1(topic: str) -> None:
    """By what the older release has: its class is gone, so the fields are compared."""
    older = DOWNCASTERS[UPCASTERS[topic].to].change(example(UPCASTERS[topic].to))
    assert older.keys() - {"figures_hash"} == example(topic).keys() - {"figures_hash"}


def test_what_version_1_did_not_record_is_empty() -> None:
    stored = example("dispatch.measured.v1")
    found = decode_stored("dispatch.measured.v1", DR_EVENT_ID, 3, msgspec.json.encode(stored))
    assert isinstance(found, Dispatch.Measured)
    assert found.figures.delivered_kw == stored["delivered_kw"]
    assert found.figures.parameters is None
    assert (found.figures.skipped, found.figures.holidays, found.figures.holidays_of) == ((), (), "")
    assert found.figures.days_used == tuple(stored["days"])


def test_zero_kw_of_facilities_that_could_not_be_measured_is_read_as_unknown() -> None:
    stored = example("dr-event.measured.v1") | {
        "delivered_kw": 0.0,
        "measured_facilities": 0,
        "unmeasured_facilities": ["fac-001"],
    }
    found = decode_stored("dr-event.measured.v1", DR_EVENT_ID, 3, msgspec.json.encode(stored))
    assert isinstance(found, DREvent.Measured)
    assert found.delivered_kw is None
    assert DOWNCASTERS["dr-event.measured.v2"].change(json.loads(encode_state(found))) == stored


def test_zero_kw_of_a_dr_event_that_curtailed_nothing_stays_zero() -> None:
    stored = example("dr-event.measured.v1") | {
        "delivered_kw": 0.0,
        "measured_facilities": 0,
        "unmeasured_facilities": [],
    }
    found = decode_stored("dr-event.measured.v1", DR_EVENT_ID, 3, msgspec.json.encode(stored))
    assert isinstance(found, DREvent.Measured)
    assert found.delivered_kw == 0.0


def test_an_older_release_reads_the_days_that_count() -> None:
    walk = dispatch_walk()
    for step in ("prepare", "success", "commit", "success"):
        walk.take(step)
    days = (MeasuredDay(day="2026-07-13"), MeasuredDay(day="2026-07-10", use="dropped_lowest"))
    walk.aggregate.measure(provenance(ENDS_AT), figures=figures(66.0, days=days))
    measured = walk.aggregate.pending_events[-1]
    assert isinstance(measured, Dispatch.Measured)
    older = DOWNCASTERS["dispatch.measured.v2"].change(json.loads(encode_state(measured)))
    assert (older["days"], older["delivered_kw"]) == (["2026-07-13"], 66.0)


def test_measurements_are_stored_as_version_1_while_an_older_process_may_run() -> None:
    store = FakeEventStore(with_newer_topics=False)
    walk = dispatch_walk()
    for step in ("prepare", "success", "commit", "success"):
        walk.take(step)
    store.append(list(walk.recorded))
    dispatch = store.load(Dispatch, walk.aggregate.id)
    days = (MeasuredDay(day="2026-07-13", mean_kw=100.0, window_kw=(100.0,)),)
    dispatch.measure(provenance(ENDS_AT), figures=figures(66.0, days=days))
    store.save([dispatch])
    recorded = store.domain_events[-1]
    assert isinstance(recorded, Dispatch.Measured)
    assert (recorded.figures.delivered_kw, recorded.figures.days_used) == (66.0, ("2026-07-13",))
    assert (recorded.figures.days[0].window_kw, recorded.figures.holidays_of) == ((), "")
