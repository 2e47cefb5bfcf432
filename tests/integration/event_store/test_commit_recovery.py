"""A connection that breaks at the commit: a caller gets a success only if its save is in the log."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import InterfaceError, OperationalError
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.connection import dedicated_connection
from adapters.postgres.event_store import commit_recovery
from adapters.postgres.event_store.errors import StreamConflict
from adapters.postgres.event_store.recorder import GroupCommitRecorder
from adapters.postgres.event_store.save_request import Save
from tests.integration.event_store.breaking_link import BreakAt, BreakingLink, breaking_link
from tests.integration.event_store.stored_events import TABLE, datastore, key, log_of, stored, until
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer

CALLERS = 64


@pytest.fixture
def link(database: Database) -> Iterator[BreakingLink]:
    parts = conninfo_to_dict(database.app_dsn)
    with breaking_link(str(parts["host"]), int(str(parts["port"]))) as found:
        yield found


@pytest.fixture
def linked(link: BreakingLink, database: Database) -> Iterator[GroupCommitRecorder]:
    """A recorder behind the proxy that has already saved."""
    store = datastore(database.app_dsn, port=link.port)
    found = GroupCommitRecorder(store, events_table_name=TABLE)
    found.insert_events([stored(uuid4())], idempotency=key("warm"))
    yield found
    found.close()
    store.close()


@pytest.mark.parametrize("break_at", ["before", "after"])
def test_the_outcome_of_a_lost_commit_is_looked_up(
    linked: GroupCommitRecorder, link: BreakingLink, database: Database, break_at: BreakAt
) -> None:
    one, two, three = uuid4(), uuid4(), uuid4()
    batch = [
        Save([stored(one), stored(one, 2)], key("k-1")),
        Save([stored(two)]),
        Save([stored(three)], key("k-2")),
    ]
    link.break_at = break_at
    linked._writer.write(batch)

    log = log_of(database)[1:]
    if break_at == "after":
        assert log == [(one, 1), (one, 2), (two, 1), (three, 1)]
        assert [save.error for save in batch] == [None] * 3
        assert [position for save in batch for position in save.ids or ()] == positions_of(database)[1:]
    else:
        assert log == []
        assert [type(save.error) for save in batch] == [OperationalError] * 3
        assert "nothing was saved" in str(batch[0].error)
    linked.insert_events([stored(uuid4())])


def test_a_request_that_arrives_after_its_caller_got_an_error_saves_nothing(
    linked: GroupCommitRecorder, link: BreakingLink, database: Database
) -> None:
    link.break_at = "late"
    with pytest.raises(OperationalError, match="nothing was saved"):
        linked.insert_events([stored(uuid4())])
    link.let_through()
    assert len(log_of(database)) == 1


def test_another_callers_event_at_the_same_version_does_not_count_as_saved(
    linked: GroupCommitRecorder, link: BreakingLink, database: Database
) -> None:
    stream = uuid4()
    linked.insert_events([stored(stream, state=b"theirs")])
    link.break_at = "before"
    with pytest.raises(OperationalError, match="nothing was saved"):
        linked.insert_events([stored(stream, state=b"ours")])
    with pytest.raises(StreamConflict):
        linked.insert_events([stored(stream, state=b"ours")])


def test_a_lost_commit_after_refused_saves_is_also_looked_up(
    linked: GroupCommitRecorder, link: BreakingLink, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, free = uuid4(), uuid4()
    linked.insert_events([stored(taken)])
    batch = [Save([stored(taken, state=b"late")]), Save([stored(free)])]
    each = linked._writer._write_each

    def break_then(*arguments: Any) -> None:
        link.break_at = "after"  # the first commit, of all saves together, was refused
        each(*arguments)

    monkeypatch.setattr(linked._writer, "_write_each", break_then)
    linked._writer.write(batch)

    assert (free, 1) in log_of(database)
    assert batch[1].ids is not None
    assert batch[0].error is not None


def test_each_outcome_matches_the_log_while_sessions_are_terminated_at_random(
    recorder: GroupCommitRecorder, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a session may take longer to end; an outcome that stays open would be in no set.
    monkeypatch.setattr(commit_recovery, "OUTCOME_WITHIN_S", 60.0)
    saved: set[UUID] = set()
    refused: dict[UUID, str] = {}
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            stream = uuid4()
            try:
                recorder.insert_events([stored(stream), stored(stream, 2)], idempotency=key(str(stream)))
            except (OperationalError, InterfaceError) as error:
                refused[stream] = str(error)
            else:
                saved.add(stream)

    def end_sessions() -> None:
        chance = random.Random(7)
        with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
            for _ in range(25):
                seen = len(saved)
                until(lambda seen=seen: len(saved) > seen + chance.randrange(200))  # type: ignore[misc]
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name LIKE 'gridproof group commit%'"
                )

    with ThreadPoolExecutor(CALLERS) as threads:
        working = [threads.submit(work) for _ in range(CALLERS)]
        try:
            end_sessions()
        finally:
            stop.set()
        for future in working:
            future.result(timeout=ANSWER_S)

    log = log_of(database)
    stored_streams = {stream for stream, _ in log}
    assert {stream: error for stream, error in refused.items() if stream in stored_streams} == {}
    assert stored_streams == saved
    assert len(log) == 2 * len(saved)


def test_the_outcome_stays_open_while_postgres_is_unavailable(
    linked: GroupCommitRecorder,
    link: BreakingLink,
    database: Database,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commit_recovery, "OUTCOME_WITHIN_S", 0.2)
    link.break_at = "after"
    look_up = commit_recovery._look_up

    def look_up_nothing(*arguments: Any) -> Any:
        postgres_server.kill()
        return look_up(*arguments)

    monkeypatch.setattr(commit_recovery, "_look_up", look_up_nothing)
    with pytest.raises(OperationalError, match="the connection was lost") as told:
        linked.insert_events([stored(uuid4())])
    assert "nothing was saved" not in str(told.value)
    monkeypatch.undo()
    postgres_server.start()
    until(lambda: len(log_of(database)) == 2)
    linked.insert_events([stored(uuid4())])


def test_a_transaction_time_out_fails_all_its_callers_and_saves_nothing(
    recorder: GroupCommitRecorder, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dedicated_connection, "TRANSACTION_TIMEOUT_S", 1)
    batch = [Save([stored(uuid4())]), Save([stored(uuid4())], key("contested")), Save([stored(uuid4())])]
    with psycopg.connect(database.admin_dsn) as other:
        other.execute(
            "INSERT INTO gridproof.idempotency_keys (scope, key, body_hash, reply)"
            " VALUES ('scope', 'contested', '', '')"
        )
        recorder._writer.write(batch)  # a save that waits for that transaction
        assert log_of(database) == []
        other.rollback()
    assert [type(save.error) for save in batch] == [OperationalError] * 3
    assert "transaction timeout" in str(batch[0].error)
    recorder.insert_events([stored(uuid4())], idempotency=key("contested"))
    assert len(log_of(database)) == 1


def positions_of(database: Database) -> list[int]:
    with psycopg.connect(database.app_dsn) as connection:
        rows = connection.execute(
            f"SELECT notification_id FROM gridproof.{TABLE} ORDER BY notification_id".encode()
        )
        return [row[0] for row in rows]


def test_the_look_up_of_an_outcome_times_out_if_postgres_does_not_answer(
    link: BreakingLink, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has no time-out for this query: only the caller's deadline ends it."""
    for limit in ("STATEMENT_TIMEOUT_S", "TRANSACTION_TIMEOUT_S"):
        monkeypatch.setattr(dedicated_connection, limit, 0)
    monkeypatch.setattr(commit_recovery, "OUTCOME_WITHIN_S", 0.2)
    monkeypatch.setattr(commit_recovery, "_FIND_SESSION", "SELECT pg_sleep(3600) WHERE %s <> ''")
    store = datastore(database.app_dsn, port=link.port)
    recorder = GroupCommitRecorder(store, events_table_name=TABLE)
    try:
        recorder.insert_events([stored(uuid4())], idempotency=key("warm"))
        link.break_at = "after"
        with pytest.raises(OperationalError, match="the connection was lost") as told:
            recorder.insert_events([stored(uuid4())])
        assert "nothing was saved" not in str(told.value)
        monkeypatch.undo()
        recorder.insert_events([stored(uuid4())])
        assert len(log_of(database)) == 3
    finally:
        recorder.close()
        store.close()
