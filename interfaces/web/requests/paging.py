"""Paging of lists by an opaque cursor: follow `next_cursor` until it is null."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple, TypeVar

from litestar.params import QueryParameter

from projections.engine.cursors import cursor_after, invalid_cursor, read_cursor
from projections.engine.projection import sortable
from projections.queries.views import MAX_PAGE_ROWS

Item = TypeVar("Item")

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_ROWS, description="How many at most")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=1_000, description="`next_cursor` of the list before")
]
Filter = Annotated[str | None, QueryParameter(min_length=1, max_length=200)]


class Place(NamedTuple):
    """The position of a row in a list that is ordered by time."""

    at: datetime
    key: str


def place_of(listed: str, cursor: str | None) -> Place | None:
    """The position that a cursor of that list names; None: the beginning. Raises InvalidCursor."""
    if cursor is None:
        return None
    sort_key, key = read_cursor(listed, cursor)
    try:
        at = datetime.fromisoformat(sort_key)
    except ValueError as error:
        raise invalid_cursor() from error
    if at.utcoffset() != timedelta(0) or sortable(at) != sort_key:
        raise invalid_cursor()
    return Place(at, key)


def newest_of(
    listed: str, rows: Sequence[Item], limit: int, place: Callable[[Item], Place]
) -> tuple[Sequence[Item], str | None]:
    """The first `limit` rows, and the cursor of the next page. `rows` was read with a limit of one more."""
    if len(rows) <= limit:
        return rows, None
    at, key = place(rows[limit - 1])
    return rows[:limit], cursor_after(listed, sortable(at), key)
