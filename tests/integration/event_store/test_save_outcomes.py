"""A batch has the same outcomes as single saves: each save is atomic and fails only by its own conflict."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from eventsourcing.persistence import DataError, IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.event_store.errors import KeyConflict, StreamConflict
from adapters.postgres.event_store.recorder import GroupCommitRecorder
from adapters.postgres.event_store.save_request import Save
from tests.integration.event_store.stored_events import TABLE, key, log_of, stored
from tests.servers import Database

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=3)
SAVES = st.lists(ROWS, min_size=1, max_size=8)


class Request(NamedTuple):
    rows: list[tuple[int, int]]
    key: int | None


KEYED_SAVES = st.lists(
    st.builds(Request, rows=ROWS, key=st.none() | st.integers(0, 2)), min_size=1, max_size=8
)
FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def plain(database: Database) -> Iterator[PostgresApplicationRecorder]:
    """The library's own recorder."""
    parts: dict[str, Any] = conninfo_to_dict(database.app_dsn)
    names = ("dbname", "host", "port", "user", "password")
    datastore = PostgresDatastore(*(parts[name] for name in names), schema="gridproof")
    yield PostgresApplicationRecorder(datastore, events_table_name=TABLE)
    datastore.close()


@FEW
@given(saves=SAVES)
def test_a_batch_has_the_same_outcomes_as_single_saves_by_the_plain_recorder(
    recorder: GroupCommitRecorder, plain: PostgresApplicationRecorder, saves: list[list[tuple[int, int]]]
) -> None:
    ours, theirs = [uuid4() for _ in range(3)], [uuid4() for _ in range(3)]
    batch = [Save([stored(ours[stream], version) for stream, version in save]) for save in saves]
    recorder._writer.write(batch)
    saved = []
    for save in saves:
        try:
            plain.insert_events([stored(theirs[stream], version) for stream, version in save])
        except IntegrityError:
            saved.append(False)
        else:
            saved.append(True)

    assert [save.error is None for save in batch] == saved
    for one, other in zip(ours, theirs, strict=True):
        versions = [e.originator_version for e in recorder.select_events(one)]
        assert versions == [e.originator_version for e in plain.select_events(other)]


@FEW
@given(saves=KEYED_SAVES)
def test_a_key_is_stored_only_with_the_domain_events_of_its_winning_save(
    recorder: GroupCommitRecorder, database: Database, saves: list[Request]
) -> None:
    round_name, streams = uuid4().hex, [uuid4() for _ in range(3)]
    batch = [
        Save(
            [stored(streams[stream], version) for stream, version in asked.rows],
            None if asked.key is None else key(f"{round_name} {asked.key}"),
        )
        for asked in saves
    ]
    before = len(log_of(database))
    recorder._writer.write(batch)

    rows: list[tuple[int, int]] = []
    keys: set[int] = set()
    for asked, save in zip(saves, batch, strict=True):
        if asked.key in keys:
            assert isinstance(save.error, KeyConflict)
        elif len({*rows, *asked.rows}) < len(rows) + len(asked.rows):
            assert isinstance(save.error, StreamConflict)
        else:
            assert save.error is None
            rows += asked.rows
            keys |= set() if asked.key is None else {asked.key}
    assert log_of(database)[before:] == [(streams[stream], version) for stream, version in rows]
    assert stored_keys(recorder, round_name) == {f"{round_name} {number}" for number in keys}


def stored_keys(recorder: GroupCommitRecorder, prefix: str) -> set[str]:
    with recorder.datastore.get_connection() as connection:
        rows = connection.execute(
            "SELECT key FROM gridproof.idempotency_keys WHERE key LIKE %s", (f"{prefix} %",)
        ).fetchall()
    return {row["key"] for row in rows}


@pytest.mark.parametrize("bad", ["\ud800", "no\x00text"])
def test_a_value_that_postgres_cannot_store_fails_only_its_own_caller(
    recorder: GroupCommitRecorder, bad: str, database: Database
) -> None:
    stream = uuid4()
    with pytest.raises(DataError):
        recorder.insert_events([StoredEvent(stream, 1, bad, b"")])
    with pytest.raises(DataError):
        recorder.insert_events([stored(stream)], idempotency=key(bad))
    recorder.insert_events([stored(stream)])
    assert log_of(database) == [(stream, 1)]
