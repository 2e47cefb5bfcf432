"""Lists page by an opaque cursor: follow `next_cursor` until it is null."""

from collections.abc import Mapping
from typing import Annotated, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from projections.views import MOST_ROWS, Page, View

Row = TypeVar("Row", bound=msgspec.Struct)
Item = TypeVar("Item")

Limit = Annotated[int, QueryParameter(ge=1, le=MOST_ROWS, description="How many at most")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=1_000, description="`next_cursor` of the list before")
]
Filter = Annotated[str | None, QueryParameter(min_length=1, max_length=200)]


class Listing(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """Some of a list."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


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
