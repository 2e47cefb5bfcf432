"""The queue of the event store: bounded, fair, closed in order, and never shared with a forked child."""

import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import InterfaceError, OperationalError

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.event_store.loaders import batched
from adapters.postgres.event_store.recorder import GroupCommitRecorder
from adapters.postgres.thread_batcher import QueueFull, ThreadBatcher
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_store import EventStoreUnavailable
from tests.integration.event_store.stored_events import TABLE, log_of, stored, until
from tests.patience import ANSWER_S, START_S
from tests.servers import Database

ROOT = Path(__file__).parents[3]


def test_a_full_queue_refuses_new_requests_and_loses_no_waiting_request(
    recorder: GroupCommitRecorder, database: Database
) -> None:
    recorder.saves._max_waiting = 3
    streams = [uuid4() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads, psycopg.connect(database.app_dsn) as other:
        other.execute(f"LOCK TABLE gridproof.{TABLE} IN EXCLUSIVE MODE".encode())
        saves: list[Future[object]] = []
        for number, stream in enumerate(streams):
            saves.append(threads.submit(recorder.insert_events, [stored(stream)]))
            until(lambda number=number: len(recorder.saves._waiting) == number)  # type: ignore[misc]
        with pytest.raises(QueueFull, match="3 callers wait already"):
            recorder.insert_events([stored(uuid4())])
        other.rollback()
        assert all(save.result(timeout=ANSWER_S) for save in saves)
    assert log_of(database) == [(stream, 1) for stream in streams]


def test_a_full_queue_is_reported_as_an_unavailable_event_store(database: Database) -> None:
    store = PostgresEventStore(DemandResponse, database.app_dsn)
    store._key_reads._max_waiting = 0
    with pytest.raises(EventStoreUnavailable, match="wait already"):
        store.find_reply("scope", "key")
    store.close()


def test_close_waits_for_pending_callers_and_refuses_later_ones() -> None:
    go, done = threading.Event(), list[int]()

    def work(batch: Sequence[int]) -> Sequence[int]:
        go.wait(ANSWER_S)
        done.append(len(batch))
        return batch

    turns: ThreadBatcher[int, int] = ThreadBatcher(work, **at_most(1))
    with ThreadPoolExecutor(4) as threads:
        joined = [threads.submit(turns.get, 1) for _ in range(3)]
        until(lambda: len(turns._waiting) == 2)
        closed = threads.submit(turns.close)
        until(lambda: turns._is_closed)
        with pytest.raises(InterfaceError, match="closed"):
            turns.get(1)
        assert not closed.done()
        go.set()
        closed.result(timeout=ANSWER_S)
        for future in joined:
            future.result(timeout=ANSWER_S)
    assert done == [1, 1, 1]


def test_an_interrupted_leader_passes_the_lead_to_the_next_caller() -> None:
    go = threading.Event()
    work = interrupted_once(go)
    turns: ThreadBatcher[int, int] = ThreadBatcher(work, **at_most(2))
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(turns.get, 1)
        until(lambda: turns._has_leader and not turns._waiting)
        others = [threads.submit(turns.get, 1) for _ in range(3)]
        until(lambda: len(turns._waiting) == 3)
        go.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(timeout=ANSWER_S)
        for future in others:
            future.result(timeout=ANSWER_S)


def test_a_caller_with_many_requests_gets_all_answers_beside_other_callers() -> None:
    batches: list[int] = []

    def work(batch: Sequence[int]) -> Sequence[int]:
        batches.append(len(batch))
        return batch

    turns: ThreadBatcher[int, int] = ThreadBatcher(work, **at_most(2), max_waiting=4)
    with ThreadPoolExecutor(4) as threads:
        given = [threads.submit(turns.get_each, [1] * 4) for _ in range(3)]
        answers = [answer for future in given for answer in future.result(timeout=ANSWER_S)]
    assert len(answers) == 12
    assert all(answer == 1 or isinstance(answer, QueueFull) for answer in answers)
    assert sum(batches) == answers.count(1) >= 4
    assert not turns._has_leader


def test_an_interrupted_caller_with_many_requests_leaves_none_in_the_queue() -> None:
    go = threading.Event()
    work = interrupted_once(go)
    turns: ThreadBatcher[int, int] = ThreadBatcher(work, **at_most(1))
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(turns.get_each, [1] * 3)
        until(lambda: turns._has_leader and len(turns._waiting) == 2)
        other = threads.submit(turns.get, 1)
        until(lambda: len(turns._waiting) == 3)
        go.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(timeout=ANSWER_S)
        other.result(timeout=ANSWER_S)
    assert not turns._has_leader


def test_an_unreadable_key_fails_only_its_own_caller() -> None:
    go = threading.Event()

    def fetch(keys: Sequence[str]) -> dict[str, str]:
        go.wait(ANSWER_S)
        if "bad" in keys:
            raise ValueError("bad")
        return {key: key.upper() for key in keys}

    reads = batched(fetch)
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(reads.get, ["a"])
        until(lambda: reads._has_leader and not reads._waiting)
        good, bad = threads.submit(reads.get, ["b", "c"]), threads.submit(reads.get, ["bad"])
        until(lambda: len(reads._waiting) == 2)
        go.set()
        assert first.result(timeout=ANSWER_S)["a"] == "A"
        assert good.result(timeout=ANSWER_S)["c"] == "C"
        with pytest.raises(ValueError, match="bad"):
            bad.result(timeout=ANSWER_S)


def test_a_read_from_an_unavailable_server_is_tried_twice_and_fails() -> None:
    asked: list[int] = []

    def fetch(keys: Sequence[str]) -> dict[str, str]:
        asked.append(1)
        raise OperationalError("away")

    reads = batched(fetch)
    with pytest.raises(OperationalError, match="away"):
        reads.get(["a"])
    assert asked == [1, 1]


FORKING = """
import datetime, json, os, sys, uuid
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
from application.ports.event_store.event_store import EventStoreUnavailable
from domain.event_sourcing.aggregate import Provenance
from domain.facility import Facility

PROVENANCE = Provenance(
    correlation_id=uuid.uuid4(), causation_id=uuid.uuid4(), actor="test", tenant=None, trace_id="0" * 32,
    recorded_at=datetime.datetime.now(datetime.UTC),
)

def registered(name):
    return Facility.register(
        PROVENANCE, facility_id=name, tz="UTC", latitude=1.5, longitude=2.5, weather_cell="cell-1"
    )

store = PostgresEventStore(DemandResponse, sys.argv[1])
hall = registered("fac-001")
store.save([hall])
store.load(Facility, hall.id)
store.find_reply("scope", "key")
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    said = []
    for call in (
        lambda: store.save([registered("fac-002")]),
        lambda: store.load(Facility, hall.id),
        lambda: store.find_reply("scope", "key"),
    ):
        try:
            call()
        except EventStoreUnavailable as error:
            said.append(str(error))
        else:
            said.append("no error")
    store.close()  # the parent's connections stay
    own = PostgresEventStore(DemandResponse, sys.argv[1])
    own.save([registered("fac-003")])
    own.close()
    os.write(writing, json.dumps(said).encode())
    os._exit(0)
os.close(writing)
said = json.loads(os.read(reading, 100_000))
os.waitpid(child, 0)
store.save([registered("fac-004")])
print(json.dumps([said, store.load(Facility, hall.id).version, store.head()]))
store.close()
"""


def test_a_forked_child_is_refused_and_opens_its_own_store_while_the_parent_continues(
    database: Database,
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(FORKING), database.app_dsn]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=START_S, check=False)
    assert done.returncode == 0, done.stderr
    said, version, head = json.loads(done.stdout)
    assert len(said) == 3
    assert all("open one after the fork" in text for text in said)
    assert (version, head) == (1, 3)


def interrupted_once(go: threading.Event) -> Callable[[Sequence[int]], Sequence[int]]:
    """Raises KeyboardInterrupt once after `go`; processes batches from then on."""
    interrupt = [KeyboardInterrupt()]

    def work(batch: Sequence[int]) -> Sequence[int]:
        go.wait(ANSWER_S)
        if interrupt:
            raise interrupt.pop()
        return batch

    return work


def at_most(requests: int) -> dict[str, Any]:
    """The options of a batcher whose batches have so many requests."""
    return {"sizes": lambda _: (1,), "limits": (requests,)}
