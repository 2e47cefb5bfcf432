"""The contract of ReaderPositions."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.event_store.reader_positions import PostgresReaderPositions
from application.ports.event_store.reader_positions import ReaderPositions
from tests.fakes.event_store.reader_positions import FakeReaderPositions


@pytest.fixture(params=["fake", "postgres"])
def positions(request: pytest.FixtureRequest) -> Iterator[ReaderPositions]:
    if request.param == "fake":
        yield FakeReaderPositions()
        return
    database = request.getfixturevalue("database")
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        yield PostgresReaderPositions(pool)


def test_a_reader_begins_at_0(positions: ReaderPositions) -> None:
    assert positions.position("relay") == 0


def test_a_position_is_stored_for_each_reader(positions: ReaderPositions) -> None:
    positions.move("relay", 7)
    positions.move("other", 3)
    positions.move("relay", 2**40)
    assert (positions.position("relay"), positions.position("other")) == (2**40, 3)


def test_a_position_never_moves_back(positions: ReaderPositions) -> None:
    """A process that was assumed dead may still report an older position."""
    positions.move("relay", 9)
    positions.move("relay", 4)
    assert positions.position("relay") == 9
