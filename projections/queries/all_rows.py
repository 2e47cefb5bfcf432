"""All rows of a read model, page by page."""

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from projections.queries.views import View

PAGE = 1_000
Row = TypeVar("Row", bound=msgspec.Struct)


def every_row(view: View[Row], **filters: str) -> Iterator[Row]:
    """In the read model's order; what changes meanwhile may be left out. Raises ReadModelsUnavailable."""
    cursor: str | None = None
    while True:
        page = view.listed(filters=filters or None, cursor=cursor, limit=PAGE)
        yield from page.rows
        cursor = page.next_cursor
        if cursor is None:
            return
