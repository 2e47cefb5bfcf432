"""Every stored example of an earlier release is readable by this one."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eventsourcing.utils import get_topic

from application.event_store import forecasts
from application.event_store.event_mapper import (
    UnreadableDomainEvent,
    decode_domain_event,
    decode_stored,
    encode_state,
)
from application.event_store.upcasters import UPCASTERS, present_topic, upcast
from domain.aggregates import DEMAND_RESPONSE_AGGREGATES
from domain.event_sourcing.aggregate import Aggregate
from domain.event_sourcing.snapshot import Snapshot
from tests.architecture.source_tree import ROOT
from tests.golden.topics import HERE, golden_file, stored_topics
from tests.patience import START_S

FILES = sorted(HERE.glob("*.json"))
AGGREGATES: tuple[Any, ...] = (*DEMAND_RESPONSE_AGGREGATES, *forecasts.AGGREGATES)


def golden(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def decoded(document: dict[str, Any]) -> Any:
    return decode_stored(
        document["topic"],
        document["originator_id"],
        document["originator_version"],
        json.dumps(document["state"], separators=(",", ":")).encode(),
    )


def assert_read_whole(document: dict[str, Any]) -> Any:
    """Assert that no field of a stored example is lost when this release decodes it.

    Encoded again, the example has all of its fields with the same values, after its upcasters if there are
    any. An upcaster defines what happens to the fields of an older version.
    """
    stored = decoded(document)
    assert get_topic(type(stored)) == present_topic(document["topic"])
    assert str(stored.originator_id) == document["originator_id"]
    assert stored.originator_version == document["originator_version"]
    written = json.loads(encode_state(stored))
    present = upcast(document["topic"], copy.deepcopy(document["state"]))
    assert _of(written, present) == present
    return stored


def _of(written: Any, present: Any) -> Any:
    """`written` without the fields that `present` does not have, at any depth: they were added with a
    default.
    """
    if isinstance(written, dict) and isinstance(present, dict):
        return {name: _of(written.get(name, "is missing"), value) for name, value in present.items()}
    if isinstance(written, list) and isinstance(present, list) and len(written) == len(present):
        return [_of(*pair) for pair in zip(written, present, strict=True)]
    return written


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_this_release_reads_every_field_of_a_stored_example(path: Path) -> None:
    document = golden(path)
    assert document["topic"] == path.stem
    assert_read_whole(document)


def test_every_older_version_has_a_stored_example() -> None:
    """The example was written while that version was current. Without it the upcaster is untested."""
    assert [topic for topic in UPCASTERS if not golden_file(topic).exists()] == []


def test_every_topic_has_a_stored_example() -> None:
    """On failure run `python tests/golden/topics.py --write`. It writes new examples and never changes an old one."""
    assert [topic for topic in stored_topics() if not golden_file(topic).exists()] == []


def test_every_aggregate_has_examples() -> None:
    streams = {path.stem.partition(".")[0] for path in FILES}
    assert streams == {kind.TOPIC for kind in AGGREGATES} | {"snapshot"}


def test_the_stored_snapshot_restores_an_aggregate() -> None:
    aggregate: Aggregate[Any] = decoded(golden(golden_file(Snapshot.TOPIC))).mutate(None)
    assert aggregate.state.status == "preparing"
    assert set(aggregate.state.zones) == {"hall", "roof"}


def test_every_stored_topic_resolves_in_a_fresh_process() -> None:
    """The process imports the two applications and the snapshots, as whatever loads aggregates does."""
    script = """
import sys
import application.event_store.demand_response, application.event_store.forecasts, domain.event_sourcing.snapshot
from application.event_store.upcasters import present_topic
from eventsourcing.utils import get_topic, resolve_topic
for topic in sys.argv[1:]:
    assert get_topic(resolve_topic(present_topic(topic))) == present_topic(topic), topic
print("resolved", len(sys.argv) - 1)
"""
    topics = [path.stem for path in FILES]
    outcome = subprocess.run(
        [sys.executable, "-c", script, *topics],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert (outcome.returncode, outcome.stdout) == (0, f"resolved {len(topics)}\n"), outcome.stderr
    assert len(topics) > 50


def test_writing_the_corpus_again_changes_no_example() -> None:
    before = {path: path.read_bytes() for path in FILES}
    outcome = subprocess.run(
        [sys.executable, str(HERE / "topics.py"), "--write"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert (outcome.returncode, outcome.stdout) == (0, ""), outcome.stderr
    assert {path: path.read_bytes() for path in sorted(HERE.glob("*.json"))} == before


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        ("facility.maintenance-started.v1", b"{}"),
        ("facility.maintenance-started.v1", b"not JSON"),
        ("facility.danced.v1", b"{}"),
        ("os:remove", b"{}"),
    ],
)
def test_an_unreadable_domain_event_is_reported_with_its_topic_stream_and_version(
    topic: str, state: bytes
) -> None:
    with pytest.raises(UnreadableDomainEvent, match=f"{topic}, version 4 of stream"):
        decode_stored(topic, "00000000-0000-0000-0000-000000000001", 4, state)


def test_a_snapshot_is_not_decoded_as_a_domain_event() -> None:
    document = golden(golden_file(Snapshot.TOPIC))
    with pytest.raises(UnreadableDomainEvent, match="no domain event"):
        decode_domain_event(
            document["topic"], document["originator_id"], 1, msgspec.json.encode(document["state"])
        )
