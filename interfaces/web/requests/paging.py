"""Paging of lists by an opaque cursor: follow `next_cursor` until it is null."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from litestar import MediaType, Response
from litestar.params import QueryParameter

from interfaces.web.caching.shared_pages import SharedPages
from projections.engine.cursors import cursor_after, invalid_cursor, read_cursor
from projections.engine.projection import sortable
from projections.queries.views import MAX_PAGE_ROWS, Page, View

Row = TypeVar("Row", bound=msgspec.Struct)
Item = TypeVar("Item")

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_ROWS, description="How many at most")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=1_000, description="`next_cursor` of the list before")
]
Filter = Annotated[str | None, QueryParameter(min_length=1, max_length=200)]


class Place(NamedTuple):
    """The position of a row in a list, newest first."""

    at: datetime
    key: str


class Listing(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """A page of a list."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


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


async def shared_listing(
    pages: SharedPages,
    view: View[Row],
    *,
    filters: Mapping[str, str | None],
    tenant: str | None,
    cursor: str | None,
    limit: int,
    as_item: Callable[[Row], Any] | None = None,
) -> Response[Any]:
    """As `listing_of`, as a shared document.

    `as_item` builds the document of a row; it is part of the name of the page, so equal ones build equal documents.
    """
    name = (tuple(filters.items()), tenant, cursor, limit, as_item)

    def listing(server: View[Row]) -> Listing[Any]:
        page = listing_of(server, filters=filters, tenant=tenant, cursor=cursor, limit=limit)
        items: tuple[Any, ...] = page.rows if as_item is None else tuple(map(as_item, page.rows))
        return Listing(items=items, next_cursor=page.next_cursor)

    return await shared_document(pages, view, name, listing)


async def shared_document(
    pages: SharedPages, view: View[Row], name: Hashable, document: Callable[[View[Row]], msgspec.Struct]
) -> Response[Any]:
    """A document of the rows of `view`. `name` contains everything else that it depends on."""
    return Response(await pages.read(view, name, document), media_type=MediaType.JSON)


def listing_of(
    view: View[Row],
    *,
    filters: Mapping[str, str | None],
    tenant: str | None,
    cursor: str | None,
    limit: int,
) -> Page[Row]:
    """One page of `view`; filters that are None do not apply."""
    given = {name: value for name, value in filters.items() if value is not None}
    return view.listed(filters=given or None, tenant=tenant, cursor=cursor, limit=limit)
