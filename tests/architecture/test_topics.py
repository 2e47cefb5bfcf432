"""Stored shapes are permanent: each topic resolves in a fresh process and does not change its meaning (ADR 0002)."""

import re
import subprocess
import sys

import msgspec
import pytest
from msgspec import inspect

from application.event_store.upcasters import UPCASTERS, present_topic
from tests.architecture.source_tree import ROOT
from tests.architecture.topics import current_topics, published_topics, shape
from tests.patience import START_S

# The fields of every domain event since the first release.
PROVENANCE = [
    *("originator_id: uuid", "originator_version: int", "recorded_at: datetime", "correlation_id: uuid"),
    *("causation_id: uuid", "actor: str", "trace_id: str"),
]


def test_every_domain_event_has_a_topic_with_a_version() -> None:
    topics = current_topics()
    assert len(topics) > 40
    assert [
        topic for topic in topics if not re.fullmatch(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*\.v\d+", topic)
    ] == []


@pytest.mark.parametrize("topic", sorted(published_topics()))
def test_a_published_topic_keeps_its_shape(topic: str) -> None:
    """On failure: a field with a default may be added: `python tests/architecture/topics.py --write`. Else use `.v2`.

    An older version has no class: its upcaster leads to the current one, as its golden file shows.
    """
    if topic in UPCASTERS:
        assert topic not in current_topics()
        assert present_topic(topic) in current_topics()
    else:
        assert current_topics().get(topic) == published_topics()[topic]


def test_every_topic_is_published() -> None:
    """On failure: run `python tests/architecture/topics.py --write`, and review the difference before the commit."""
    assert current_topics().keys() - published_topics().keys() == set()


@pytest.mark.parametrize("topic", sorted(published_topics()))
def test_a_domain_event_has_all_provenance_fields(topic: str) -> None:
    assert [field for field in PROVENANCE if field not in published_topics()[topic]] == []


def test_every_topic_resolves_in_a_fresh_process() -> None:
    """As in the relay and the projections, which import the applications, no test and no other process."""
    script = """
import importlib.util, sys
import application.event_store.demand_response
if importlib.util.find_spec("application.event_store.forecasts"):
    import application.event_store.forecasts
else:
    import domain.forecast
from application.event_store.upcasters import present_topic
from eventsourcing.utils import get_topic, resolve_topic
for topic in map(present_topic, sys.argv[1:]):
    assert get_topic(resolve_topic(topic)) == topic, topic
"""
    outcome = subprocess.run(
        [sys.executable, "-c", script, *published_topics()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr


def test_a_changed_shape_is_detected() -> None:
    class Was(msgspec.Struct):
        at_kw: float
        zones: tuple[str, ...] = ()

    class Renamed(msgspec.Struct, rename={"at_kw": "kw"}):
        at_kw: float
        zones: tuple[str, ...] = ()

    class Required(msgspec.Struct):
        at_kw: float
        zones: tuple[str, ...]

    assert shape(inspect.type_info(Was)) == "{at_kw: float, zones?: [str]}"
    assert shape(inspect.type_info(Renamed)) == "{kw: float, zones?: [str]}"
    assert shape(inspect.type_info(Required)) == "{at_kw: float, zones: [str]}"
