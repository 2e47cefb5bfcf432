"""Group commit: each caller gets its own outcome, the order is total, and every confirmed save is in the log."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import InterfaceError, OperationalError, StoredEvent

from adapters.postgres.event_store.errors import KeyConflict, StreamConflict
from adapters.postgres.event_store.recorder import GroupCommitRecorder
from adapters.postgres.event_store.save_request import Save
from application.ports.event_store.event_store import ONE_DECISION, SaveTooLarge
from tests.integration.event_store.stored_events import TABLE, datastore, key, log_of, stored, until
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer

ROOT = Path(__file__).parents[3]
CALLERS = 64


def test_each_save_of_a_batch_has_its_own_outcome(recorder: GroupCommitRecorder, database: Database) -> None:
    one, two, three, four = (uuid4() for _ in range(4))
    recorder.insert_events([stored(one)], idempotency=key("taken"))
    batch = [
        Save([stored(two)], key("new")),
        Save([stored(three), stored(one)]),
        Save([stored(three)], key("taken")),
        Save([stored(three)], key("new")),
        Save([stored(two, 2), stored(three)]),
        Save([stored(four, 1, b"x"), StoredEvent(four, 2, "no\x00text", b"")]),
    ]
    recorder._writer.write(batch)

    assert [type(save.error) for save in batch[1:4]] == [StreamConflict, KeyConflict, KeyConflict]
    assert [save.error for save in (batch[0], batch[4])] == [None, None]
    assert batch[5].error is not None
    assert log_of(database) == [(one, 1), (two, 1), (two, 2), (three, 1)]
    assert [len(save.ids or ()) for save in batch] == [1, 0, 0, 0, 2, 0]


def test_each_stream_version_is_saved_by_exactly_one_of_many_threads(
    recorder: GroupCommitRecorder, database: Database
) -> None:
    streams = [uuid4() for _ in range(5)]

    def save(number: int) -> tuple[UUID, int] | None:
        stream, version = streams[number % 5], 1 + number // 50
        try:
            ids = recorder.insert_events([stored(stream, version)])
        except StreamConflict:
            return None
        return stream, (ids or [0])[0]

    with ThreadPoolExecutor(16) as threads:
        won = [outcome for outcome in threads.map(save, range(400)) if outcome is not None]

    log = log_of(database)
    assert len(won) == len(log) == len(set(log)) == 5 * 8
    assert len({position for _, position in won}) == 40
    assert {version for _, version in log} == set(range(1, 9))


@pytest.mark.parametrize(
    "events",
    [
        [stored(uuid4(), number) for number in range(ONE_DECISION.domain_events + 1)],
        [stored(uuid4(), 1, b"x" * ONE_DECISION.byte_count)],
    ],
    ids=["events", "bytes"],
)
def test_a_save_over_the_limits_is_refused_with_a_specific_error(
    recorder: GroupCommitRecorder, database: Database, events: list[StoredEvent]
) -> None:
    with pytest.raises(SaveTooLarge, match="split the command"):
        recorder.insert_events(events)
    assert log_of(database) == []


def test_a_closed_recorder_refuses(recorder: GroupCommitRecorder) -> None:
    recorder.insert_events([stored(uuid4())])
    recorder.close()
    with pytest.raises(InterfaceError, match="closed"):
        recorder.insert_events([stored(uuid4())])


def test_a_save_blocked_by_another_sessions_lock_times_out_and_saves_nothing(
    database: Database,
) -> None:
    recorder = GroupCommitRecorder(datastore(database.app_dsn, lock_timeout_s=1), events_table_name=TABLE)
    with closing(recorder):
        with psycopg.connect(database.app_dsn) as other:
            other.execute(f"LOCK TABLE gridproof.{TABLE} IN EXCLUSIVE MODE".encode())
            with pytest.raises(OperationalError, match="lock timeout"):
                recorder.insert_events([stored(uuid4())])
        recorder.insert_events([stored(uuid4())])
    assert len(log_of(database)) == 1


def test_every_confirmed_save_is_in_the_log_after_postgres_was_killed_under_load(
    recorder: GroupCommitRecorder, database: Database, postgres_server: PostgresServer
) -> None:
    answered: list[UUID] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            stream = uuid4()
            try:
                recorder.insert_events([stored(stream)])
            except (OperationalError, InterfaceError):
                time.sleep(0.01)
                continue
            answered.append(stream)

    with ThreadPoolExecutor(CALLERS) as threads:
        try:
            working = [threads.submit(work) for _ in range(CALLERS)]
            until(lambda: len(answered) > 200)
            postgres_server.kill()
            before = len(answered)
            postgres_server.start()
            until(lambda: len(answered) > before + 100)
        finally:
            stop.set()
        for future in working:
            future.result(timeout=ANSWER_S)

    log = [stream for stream, _ in log_of(database)]
    assert set(answered) <= set(log)
    assert len(log) == len(set(log))


WRITER = """
import os, sys, threading, uuid
from eventsourcing.persistence import StoredEvent
from adapters.postgres.event_store.event_store import PostgresEventStore
from application.event_store.demand_response import DemandResponse
recorder = PostgresEventStore(DemandResponse, sys.argv[1])._recorder
def work():
    while True:
        stream = uuid.uuid4()
        recorder.insert_events([StoredEvent(stream, 1, "facility.registered.v1", b"{}")])
        os.write(1, f"{stream}\\n".encode())  # at once: threads must not share a line
for _ in range(64):
    threading.Thread(target=work).start()
"""


def test_every_confirmed_save_is_in_the_log_after_its_writer_was_killed(database: Database) -> None:
    answered: list[UUID] = []
    for _ in range(3):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), database.app_dsn]
        writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(100)]
        os.kill(writer.pid, signal.SIGKILL)
        lines += writer.stdout.readlines()
        writer.wait(timeout=ANSWER_S)
        answered += [UUID(line.strip()) for line in lines if len(line) == 37]

    log = [stream for stream, _ in log_of(database)]
    assert len(answered) >= 300
    assert set(answered) <= set(log)
    assert len(log) == len(set(log))
