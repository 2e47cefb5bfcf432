"""Lists page by an opaque cursor: follow `next_cursor` until it is null."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec
from litestar.params import QueryParameter

from projections.cursors import cursor_after, not_ours, read_cursor
from projections.read_model import sortable
from projections.views import MOST_ROWS, Page, View

Row = TypeVar("Row", bound=msgspec.Struct)
Item = TypeVar("Item")

Limit = Annotated[int, QueryParameter(ge=1, le=MOST_ROWS, description="How many at most")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=1_000, description="`next_cursor` of the list before")
]
Filter = Annotated[str | None, QueryParameter(min_length=1, max_length=200)]


class Place(NamedTuple):
    """Where a row stands in a list that runs from the newest down."""

    at: datetime
    key: str


class Listing(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """Some of a list."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


def place_of(listed: str, cursor: str | None) -> Place | None:
    """Where a cursor of that list stands; None at its beginning. Raises InvalidCursor."""
    if cursor is None:
        return None
    sort_key, key = read_cursor(listed, cursor)
    try:
        at = datetime.fromisoformat(sort_key)
    except ValueError as error:
        raise not_ours() from error
    if at.utcoffset() != timedelta(0) or sortable(at) != sort_key:
        raise not_ours()
    return Place(at, key)


def newest_of(
    listed: str, found: Sequence[Item], limit: int, place: Callable[[Item], Place]
) -> tuple[Sequence[Item], str | None]:
    """The first `limit` of what was found, and the cursor of those after them; for that, one more was asked for."""
    if len(found) <= limit:
        return found, None
    at, key = place(found[limit - 1])
    return found[:limit], cursor_after(listed, sortable(at), key)


def listing_of(
    view: View[Row],
    *,
    filters: Mapping[str, str | None],
    tenant: str | None,
    cursor: str | None,
    limit: int,
) -> Page[Row]:
    """One page of `view`; filters that are None were not asked for."""
    given = {name: value for name, value in filters.items() if value is not None}
    return view.listed(filters=given or None, tenant=tenant, cursor=cursor, limit=limit)
