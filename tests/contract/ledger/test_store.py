"""The contract of LedgerStore, in memory and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.ledger.store import PostgresLedgerStore
from adapters.postgres.ledger.stream_map_tables import TABLES
from application.ports.ledger.store import LedgerHead, LedgerMoved, LedgerStore, LedgerUnavailable
from domain.ledger.entries import (
    DEMAND_RESPONSE,
    ENTRY_BYTES,
    FORECASTS,
    MAX_POSITION,
    MIN_POSITION,
    RECORDED_BYTES,
    RECORDED_MARK,
    LogRow,
)
from domain.ledger.entries import TILE_ENTRIES as TILE
from domain.ledger.map_pages import MapChange, MapState
from tests.fakes.ledger.store import FakeLedgerStore
from tests.patience import ANSWER_S
from tests.servers import Database

POSITIONS = [-5, 1, 2, 7, 9]
"""Gaps, and one that was forged to stand before everything."""
NO_CHANGE = MapChange(before=MapState(), after=MapState(), pages={})
LIMITS = [(MIN_POSITION, MAX_POSITION), (-5, 7), (1, 2), (2, 6), (9, MAX_POSITION), (MIN_POSITION, -6)]


def row(position: int) -> LogRow:
    return LogRow(
        position=position,
        originator_id=UUID(int=1_000 + position),
        originator_version=position + 10,
        topic="dr-event.made-up.v1",
        state=f'{{"was":{position},"ü":"\\u00fc"}}'.encode(),
    )


ROWS = [row(position) for position in POSITIONS]
ENTRIES = b"".join(one.entry() for one in ROWS)


class LedgerRig(NamedTuple):
    store: LedgerStore
    record: Callable[..., None]
    """(log, *rows): as the event store records them."""


@pytest.fixture(params=["fake", "postgres"])
def rig(request: pytest.FixtureRequest) -> Iterator[LedgerRig]:
    if request.param == "fake":
        fake = FakeLedgerStore()
        yield LedgerRig(fake, fake.record)
        return
    database: Database = request.getfixturevalue("database")

    def record(log: str, *rows: LogRow) -> None:
        with psycopg.connect(database.admin_dsn) as connection:
            connection.cursor().executemany(
                f"INSERT INTO gridproof.{TABLES[log]} OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s)",
                [
                    (one.originator_id, one.originator_version, one.topic, one.state, one.position)
                    for one in rows
                ],
            )

    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=8) as pool:
        yield LedgerRig(PostgresLedgerStore(pool.connection), record)


def test_an_empty_store_has_no_entries_rows_or_checkpoints(rig: LedgerRig) -> None:
    store = rig.store
    for log in (DEMAND_RESPONSE, FORECASTS):
        assert store.entries_of_log(log, after=MIN_POSITION, up_to=MAX_POSITION) == b""
        assert (store.head(log), store.count_after(log, MIN_POSITION)) == (0, 0)
        assert store.appended(log) == LedgerHead(0, 0)
        assert store.entries(log, 0, 10) == b""
        assert (store.row(log, 1), store.rows(log, [1, 2])) == (None, [])
    assert (store.last_checkpoint_number(), store.checkpoint(0), store.checkpoint(1)) == (0, None, None)


def test_entries_are_computed_from_the_rows_in_order(rig: LedgerRig) -> None:
    rig.record(DEMAND_RESPONSE, *reversed(ROWS))
    for after, up_to in LIMITS:
        wanted = [one.entry() for one in ROWS if after < one.position <= up_to]
        for limit in (None, 1, 2, 100):
            made = rig.store.entries_of_log(DEMAND_RESPONSE, after=after, up_to=up_to, limit=limit)
            assert made == b"".join(wanted[:limit])
    assert rig.store.entries_of_log(FORECASTS, after=MIN_POSITION, up_to=MAX_POSITION) == b""


def test_rows_are_returned_as_stored(rig: LedgerRig) -> None:
    rig.record(DEMAND_RESPONSE, *ROWS)
    assert [rig.store.row(DEMAND_RESPONSE, position) for position in POSITIONS] == ROWS
    assert rig.store.rows(DEMAND_RESPONSE, [9, 8, -5, 9]) == [ROWS[0], ROWS[-1]]
    assert rig.store.row(DEMAND_RESPONSE, 3) is None


def test_the_head_and_the_number_of_rows_after_a_position_are_returned(rig: LedgerRig) -> None:
    rig.record(DEMAND_RESPONSE, *ROWS)
    assert rig.store.head(DEMAND_RESPONSE) == 9
    assert [rig.store.count_after(DEMAND_RESPONSE, after) for after in (MIN_POSITION, -5, 2, 9)] == [
        5,
        4,
        2,
        0,
    ]
    assert rig.store.head(FORECASTS) == 0


def test_appended_entries_are_stored_and_move_the_head_of_their_log(rig: LedgerRig) -> None:
    assert rig.store.append(DEMAND_RESPONSE, 0, ENTRIES[: 2 * ENTRY_BYTES]) == LedgerHead(2, 1)
    assert rig.store.append(DEMAND_RESPONSE, 2, ENTRIES[2 * ENTRY_BYTES :]) == LedgerHead(5, 9)
    assert rig.store.appended(DEMAND_RESPONSE) == LedgerHead(5, 9)
    assert rig.store.appended(FORECASTS) == LedgerHead(0, 0)
    for first in range(7):
        for count in (1, 2, 100):
            wanted = ENTRIES[first * ENTRY_BYTES : (first + count) * ENTRY_BYTES]
            assert rig.store.entries(DEMAND_RESPONSE, first, count) == wanted


def test_tables_larger_than_a_tile_are_stored_in_full(rig: LedgerRig) -> None:
    entries = b"".join(row(position).entry() for position in range(1, 3 * TILE + 40))
    size, parts = 0, (1, TILE - 1, 3, 2 * TILE, 35)
    for part in parts:
        chunk = entries[size * ENTRY_BYTES : (size + part) * ENTRY_BYTES]
        size = rig.store.append(DEMAND_RESPONSE, size, chunk).size
    assert size == sum(parts)
    assert rig.store.entries(DEMAND_RESPONSE, 0, 10_000) == entries[: size * ENTRY_BYTES]
    around = rig.store.entries(DEMAND_RESPONSE, TILE - 1, 2)
    assert around == entries[(TILE - 1) * ENTRY_BYTES : (TILE + 1) * ENTRY_BYTES]


@pytest.mark.parametrize("size", [0, 4, 6])
def test_an_append_with_a_wrong_expected_size_is_refused(rig: LedgerRig, size: int) -> None:
    rig.store.append(DEMAND_RESPONSE, 0, ENTRIES)
    with pytest.raises(LedgerMoved, match=DEMAND_RESPONSE):
        rig.store.append(DEMAND_RESPONSE, size, row(20).entry())
    assert rig.store.appended(DEMAND_RESPONSE) == LedgerHead(5, 9)
    assert rig.store.entries(DEMAND_RESPONSE, 0, 100) == ENTRIES


def test_a_stored_checkpoint_is_not_replaced(rig: LedgerRig) -> None:
    rig.store.keep_checkpoint(1, b"first\0\xff", DEMAND_RESPONSE, NO_CHANGE)
    rig.store.keep_checkpoint(1, b"another", DEMAND_RESPONSE, NO_CHANGE)
    rig.store.keep_checkpoint(3, b"third", DEMAND_RESPONSE, NO_CHANGE)
    assert [rig.store.checkpoint(number) for number in (1, 2, 3)] == [b"first\0\xff", None, b"third"]
    assert rig.store.last_checkpoint_number() == 3


def test_the_beginning_of_each_time_is_returned_with_the_entries(rig: LedgerRig) -> None:
    times = [b"2026-07-14T21:00:15.123456Z", b"2026-07-14T21:00:15Z", b""]
    rows = [
        msgspec.structs.replace(row(number), state=b'{"recorded_at":"%s","x":1}' % time if time else b"{}")
        for number, time in enumerate(times, start=1)
    ]
    rig.record(DEMAND_RESPONSE, *rows)
    recorded = bytearray()
    entries = rig.store.entries_of_log(
        DEMAND_RESPONSE, after=MIN_POSITION, up_to=MAX_POSITION, recorded=recorded
    )
    assert entries == b"".join(one.entry() for one in rows)
    mark = RECORDED_MARK
    assert bytes(recorded) == mark + times[0] + mark + times[1] + b'","x":1' + b" " * RECORDED_BYTES


def test_a_position_leads_to_its_tile(rig: LedgerRig) -> None:
    entries = b"".join(row(3 * number).entry() for number in range(-1, 3 * TILE))
    rig.store.append(DEMAND_RESPONSE, 0, entries)
    positions = [-10, -3, 0, 3 * (TILE - 2), 3 * (TILE - 1), 3 * 2 * TILE, 10**12]
    assert rig.store.tiles_at(DEMAND_RESPONSE, positions) == [0, 0, 0, 0, 1, 2, 3]
    tiles = rig.store.tiles(DEMAND_RESPONSE, {0, 3, 9})
    assert tiles == {
        0: entries[: TILE * ENTRY_BYTES],
        3: entries[3 * TILE * ENTRY_BYTES :],
    }
    assert rig.store.tiles(DEMAND_RESPONSE, ()) == {}
    assert rig.store.tiles_at(FORECASTS, [7]) == [0]


def test_tree_hashes_are_stored_by_level_and_tile(rig: LedgerRig) -> None:
    full, part = bytes(range(256)) * 32, bytes(64)
    assert rig.store.node_counts(DEMAND_RESPONSE) == []
    rig.store.store_nodes(DEMAND_RESPONSE, 1, {0: full, 1: part})
    rig.store.store_nodes(DEMAND_RESPONSE, 2, {0: part[:32]})
    assert rig.store.node_counts(DEMAND_RESPONSE) == [TILE + 2, 1]
    rig.store.store_nodes(DEMAND_RESPONSE, 1, {1: part + part})
    assert rig.store.node_counts(DEMAND_RESPONSE) == [TILE + 4, 1]
    assert rig.store.nodes(DEMAND_RESPONSE, 1, {0, 1, 2}) == {0: full, 1: part + part}
    assert (rig.store.nodes(FORECASTS, 1, {0}), rig.store.node_counts(FORECASTS)) == ({}, [])


def test_tree_hashes_after_a_gap_are_not_counted(rig: LedgerRig) -> None:
    full, part = bytes(range(256)) * 32, bytes(64)
    rig.store.store_nodes(DEMAND_RESPONSE, 1, {1: full, 2: part})
    rig.store.store_nodes(DEMAND_RESPONSE, 3, {0: part})
    assert rig.store.node_counts(DEMAND_RESPONSE) == [0, 0, 2]
    rig.store.store_nodes(DEMAND_RESPONSE, 1, {0: part})
    assert rig.store.node_counts(DEMAND_RESPONSE) == [2, 0, 2]
    rig.store.store_nodes(DEMAND_RESPONSE, 1, {0: full})
    assert rig.store.node_counts(DEMAND_RESPONSE) == [2 * TILE + 2, 0, 2]


def test_streams_have_their_highest_version_and_their_rows(rig: LedgerRig) -> None:
    one, other = UUID(int=1), UUID(int=2)
    rows = [
        msgspec.structs.replace(row(position), originator_id=stream, originator_version=version)
        for position, stream, version in ((1, one, 1), (2, other, 1), (4, one, 2), (6, one, 0), (9, one, 3))
    ]
    rig.record(DEMAND_RESPONSE, *rows)

    def versions(after: int, up_to: int) -> list[tuple[bytes, int]]:
        return list(rig.store.last_versions(DEMAND_RESPONSE, after=after, up_to=up_to))

    assert versions(MIN_POSITION, MAX_POSITION) == [(one.bytes, 3), (other.bytes, 1)]
    assert versions(1, 4) == [(one.bytes, 2), (other.bytes, 1)]
    assert versions(4, 6) == []
    assert rig.store.rows_of_streams(DEMAND_RESPONSE, {one}, up_to=6) == [rows[0], rows[2], rows[3]]
    assert rig.store.rows_of_streams(DEMAND_RESPONSE, [], up_to=6) == []


def test_the_map_changes_in_one_step_and_only_from_where_it_is(rig: LedgerRig) -> None:
    store = rig.store
    start = MapState()
    assert store.map_state(DEMAND_RESPONSE) == start
    one = MapState(size=5, position=9, streams=4, root=b"r" * 32)
    store.change_map(DEMAND_RESPONSE, MapChange(before=start, after=one, pages={"": b"first", "a0": b"x"}))
    assert store.map_state(DEMAND_RESPONSE) == one
    assert store.map_pages(DEMAND_RESPONSE, {"", "a0", "b"}) == {"": b"first", "a0": b"x"}
    two = MapState(size=6, position=12, streams=4, root=b"s" * 32)
    change = MapChange(before=one, after=two, pages={"": b"second"})
    store.keep_checkpoint(1, b"signed", DEMAND_RESPONSE, change)
    assert (store.checkpoint(1), store.map_state(DEMAND_RESPONSE)) == (b"signed", two)
    assert store.map_pages(DEMAND_RESPONSE, {"", "a0"}) == {"": b"second", "a0": b"x"}
    for wrong in (change, MapChange(before=start, after=one, pages={"": b"third"})):
        with pytest.raises(LedgerMoved, match="map"):
            store.keep_checkpoint(2, b"signed", DEMAND_RESPONSE, wrong)
        with pytest.raises(LedgerMoved, match="map"):
            store.change_map(DEMAND_RESPONSE, wrong)
    assert (store.checkpoint(2), store.map_pages(DEMAND_RESPONSE, {""})) == (None, {"": b"second"})


def test_a_snapshot_reads_like_the_store(rig: LedgerRig) -> None:
    rig.record(DEMAND_RESPONSE, *ROWS)
    with rig.store.snapshot() as now:
        assert now.head(DEMAND_RESPONSE) == 9
        assert now.rows(DEMAND_RESPONSE, [9]) == [ROWS[-1]]
        assert len(list(now.last_versions(DEMAND_RESPONSE, after=MIN_POSITION, up_to=9))) == len(ROWS)


# --------------------------------------------------------------------------------------- only PostgreSQL


def test_a_snapshot_does_not_change_while_it_is_read(database: Database) -> None:
    with ConnectionPool[Any](database.app_dsn, min_size=2, max_size=2) as pool:
        store = PostgresLedgerStore(pool.connection)
        with store.snapshot() as now:
            assert now.last_checkpoint_number() == 0
            store.keep_checkpoint(1, b"signed", DEMAND_RESPONSE, NO_CHANGE)
            assert now.last_checkpoint_number() == 0
        assert store.last_checkpoint_number() == 1


def test_exactly_one_of_several_concurrent_appends_succeeds(database: Database) -> None:
    start = Barrier(6)
    with ConnectionPool[Any](database.app_dsn, min_size=6, max_size=6) as pool:
        store = PostgresLedgerStore(pool.connection)

        def append(racer: int) -> bytes | None:
            entries = row(racer + 1).entry()
            start.wait(ANSWER_S)
            try:
                store.append(DEMAND_RESPONSE, 0, entries)
            except LedgerMoved:
                return None
            return entries

        with ThreadPoolExecutor(6) as threads:
            appended = [entries for entries in threads.map(append, range(6)) if entries is not None]
        assert [store.entries(DEMAND_RESPONSE, 0, 10)] == appended


def test_an_unavailable_database_is_reported() -> None:
    store = PostgresLedgerStore(
        lambda: psycopg.connect("postgresql://nobody@127.0.0.1:1/x?connect_timeout=2")
    )
    with pytest.raises(LedgerUnavailable, match="gridproof doctor"):
        store.head(DEMAND_RESPONSE)


def test_only_checkpoints_after_a_restore_are_returned(rig: LedgerRig) -> None:
    for number, version in ((1, "v2"), (2, "v3"), (3, "v2"), (4, "v3")):
        signed = (
            f'{{"checkpoint": {{"format": "gridproof-ledger-checkpoint.{version}", "number": {number}}}}}'
        )
        rig.store.keep_checkpoint(number, signed.encode(), DEMAND_RESPONSE, NO_CHANGE)
    found = [msgspec.json.decode(one)["checkpoint"]["number"] for one in rig.store.restore_checkpoints()]
    assert found == [2, 4]
