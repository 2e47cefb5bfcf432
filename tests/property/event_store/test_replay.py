"""The state is a pure function of the recorded domain events: another process computes the same."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from eventsourcing.utils import get_topic

from application.event_store.event_mapper import encode_state
from domain.errors import DomainError
from domain.event_sourcing.aggregate import Aggregate
from tests.architecture.source_tree import ROOT
from tests.given_when_then import given
from tests.patience import START_S
from tests.property.dispatch.test_state_machine import WALKS
from tests.sample_values import facility_entry, portfolio_commands
from tests.state_walks import Walk, dispatch_walk

# Every source of time or randomness raises.
REPLAY = """
import base64, sys, time, uuid
import eventsourcing.domain
import msgspec
import application.event_store.demand_response, application.event_store.forecasts
from application.event_store.event_mapper import decode_stored
from domain.event_sourcing.snapshot import state_type

def refused(*_, **__):
    raise AssertionError("a replay may not ask for the time, nor draw anything")

time.time = time.time_ns = uuid.uuid4 = refused
eventsourcing.domain.datetime_now_with_tzinfo = eventsourcing.domain.uuid4 = refused

for line in open(sys.argv[1], "rb"):
    walk = msgspec.json.decode(line)
    aggregate = None
    for topic, stream, version, state in walk["recorded"]:
        aggregate = decode_stored(topic, stream, version, base64.b64decode(state)).mutate(aggregate)
    expected = msgspec.json.decode(base64.b64decode(walk["state"]), type=state_type(type(aggregate)))
    assert aggregate.state == expected, (aggregate.state, expected)
    print(aggregate.version, time.tzname[0], hash("seed") % 1000)
"""
WALKED = 25
ELSEWHERE = [
    {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "0"},
    {"TZ": "America/St_Johns", "PYTHONHASHSEED": "4242"},
    {"TZ": "UTC", "PYTHONHASHSEED": "random", "LC_ALL": "C", "PYTHONUTF8": "0"},
]


def walked(walk: Walk, random: Random, steps: int = 60) -> Walk:
    """The same walk for the same `random`."""
    names = sorted(
        name
        for name, value in vars(type(walk)).items()
        if callable(value) and name[0] != "_" and name != "choose"
    )
    for _ in range(steps):
        try:
            walk.take(random.choice(names))
        except DomainError:
            continue
    return walk


def written(domain_events: list[Any], state: Any) -> bytes:
    recorded = [
        (get_topic(type(e)), str(e.originator_id), e.originator_version, _text(encode_state(e)))
        for e in domain_events
    ]
    return msgspec.json.encode({"recorded": recorded, "state": _text(msgspec.json.encode(state))})


def _text(stored: bytes) -> str:
    return base64.b64encode(stored).decode()


@pytest.fixture(scope="module")
def recorded_live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Walks of every aggregate of the demand response log, with their final states in this process."""
    random = Random(20260714)
    walks = [walked(begin(), random) for _ in range(WALKED) for _, begin in WALKS.values()]
    walks += [walked(dispatch_walk(("hall", "roof")), random) for _ in range(WALKED)]
    lines = [written(walk.recorded, walk.aggregate.state) for walk in walks]
    lines += [written(*stream) for stream in portfolio_streams()]
    path = tmp_path_factory.mktemp("replay") / "recorded.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def portfolio_streams() -> list[tuple[list[Any], Any]]:
    story = given().after(*portfolio_commands(facility_entry(programs=("b-program", "a-program", "c"))))
    streams: dict[Any, list[Any]] = {}
    for domain_event in story.store.domain_events:
        streams.setdefault(domain_event.originator_id, []).append(domain_event)
    found = []
    for stream_id, domain_events in streams.items():
        found.append((domain_events, story.store.load(Aggregate, stream_id).state))
    return found


@pytest.mark.parametrize("environment", ELSEWHERE, ids=lambda environment: environment["TZ"])
def test_a_replay_in_another_process_gives_the_recorded_state(
    recorded_live: Path, environment: dict[str, str]
) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", REPLAY, str(recorded_live)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert len(lines) == len(recorded_live.read_bytes().splitlines())
    assert max(int(line.split()[0]) for line in lines) > 8, "the walks recorded too few domain events"


def test_a_replay_without_one_domain_event_is_detected(recorded_live: Path, tmp_path: Path) -> None:
    """The comparison above can fail: it does if one domain event is missing."""
    walk = msgspec.json.decode(recorded_live.read_bytes().splitlines()[0])
    walk["recorded"].pop()
    shorter = tmp_path / "shorter.jsonl"
    shorter.write_bytes(msgspec.json.encode(walk))
    outcome = subprocess.run(
        [sys.executable, "-c", REPLAY, str(shorter)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert outcome.returncode == 1
    assert "AssertionError" in outcome.stderr
