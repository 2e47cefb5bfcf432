"""Lists page by an opaque cursor: follow `next_cursor` until it is null."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec
from litestar import MediaType, Response
from litestar.params import QueryParameter

from interfaces.web.caching.coalescing import SharedReads
from interfaces.web.caching.page_cache import PageCache
from projections.engine.cursors import cursor_after, invalid_cursor, read_cursor
from projections.engine.projection import sortable
from projections.queries.replica import read_consistently
from projections.queries.views import MAX_PAGE_ROWS, Page, View

Row = TypeVar("Row", bound=msgspec.Struct)
Item = TypeVar("Item")

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE_ROWS, description="How many at most")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=1_000, description="`next_cursor` of the list before")
]
Filter = Annotated[str | None, QueryParameter(min_length=1, max_length=200)]


class Place(NamedTuple):
    """Where a row stands in a list that runs from the newest down."""

    at: datetime
    key: str


class ReadPages(Protocol):
    """Of the edge, what a page needs."""

    @property
    def shared(self) -> SharedReads: ...

    @property
    def pages(self) -> PageCache: ...


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
        raise invalid_cursor() from error
    if at.utcoffset() != timedelta(0) or sortable(at) != sort_key:
        raise invalid_cursor()
    return Place(at, key)


def newest_of(
    listed: str, found: Sequence[Item], limit: int, place: Callable[[Item], Place]
) -> tuple[Sequence[Item], str | None]:
    """The first `limit` of what was found, and the cursor of those after them; for that, one more was asked for."""
    if len(found) <= limit:
        return found, None
    at, key = place(found[limit - 1])
    return found[:limit], cursor_after(listed, sortable(at), key)


async def shared_listing(
    edge: ReadPages,
    view: View[Row],
    *,
    filters: Mapping[str, str | None],
    tenant: str | None,
    cursor: str | None,
    limit: int,
    as_item: Callable[[Row], Any] | None = None,
) -> Response[Any]:
    """As `listing_of`, read and encoded once for all who ask for the same page at the same time.

    `as_item` is one that lasts, as a function of a module: it is part of what the page is known by.
    Where no row can have changed since the page was read last, it is answered again as it was.
    """
    # `read` keeps the view meanwhile; the same rows may be shown in another form.
    name = (id(view), tuple(filters.items()), tenant, cursor, limit, as_item)

    def read(read_consistently: View[Row]) -> bytes:
        version = read_consistently.version()  # before the rows: they may be newer than it says, never older
        known = edge.pages.find(name, view, version)
        if known is not None:
            return known
        page = listing_of(read_consistently, filters=filters, tenant=tenant, cursor=cursor, limit=limit)
        items: tuple[Any, ...] = page.rows if as_item is None else tuple(map(as_item, page.rows))
        body = msgspec.json.encode(Listing(items=items, next_cursor=page.next_cursor))
        edge.pages.keep(name, view, version, body)
        return body

    body = await edge.shared.read(name, lambda: read_consistently(view, read))
    return Response(body, media_type=MediaType.JSON)


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
