"""Encoded documents of a read model's rows: shared by concurrent callers, and valid until a row changes (ADR 0090)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import msgspec
from litestar import MediaType, Response

from application.bounded_cache import BoundedCache
from interfaces.web.caching.coalescing import ReadCoalescer
from interfaces.web.listing import Listing
from projections.queries.replica import read_consistently
from projections.queries.views import Row, RowsVersion, View

MAX_BYTES = 16_000_000
MAX_PAGES = 2_000
"""Names count too: a caller chooses filters and a cursor of 1,000 characters."""


class _Page(NamedTuple):
    version: RowsVersion
    body: bytes


class SharedPages:
    """For one event loop; documents are read in threads."""

    def __init__(self, coalescer: ReadCoalescer) -> None:
        self._coalescer = coalescer
        self._pages: BoundedCache[Hashable, _Page] = BoundedCache(
            "pages", max_size=MAX_BYTES, size_of=lambda page: len(page.body), max_entries=MAX_PAGES
        )

    async def listing(
        self,
        view: View[Row],
        *,
        filters: Mapping[str, str | None],
        tenant: str | None,
        cursor: str | None,
        limit: int,
        as_item: Callable[[Row], Any],
    ) -> Response[Any]:
        """A page of `view`; filters that are None do not apply.

        `as_item` builds the document of a row; it is part of the name of the page, so equal ones build equal documents.
        """
        given = {name: value for name, value in filters.items() if value is not None}
        name = (tuple(given.items()), tenant, cursor, limit, as_item)

        def document(server: View[Row]) -> Listing[Any]:
            page = server.listed(filters=given or None, tenant=tenant, cursor=cursor, limit=limit)
            return Listing(items=tuple(map(as_item, page.rows)), next_cursor=page.next_cursor)

        return await self.document(view, name, document)

    async def document(
        self, view: View[Row], name: Hashable, document: Callable[[View[Row]], msgspec.Struct]
    ) -> Response[Any]:
        """A document of the rows of `view`.

        `name` contains everything else that it depends on, including who may see it.
        """
        key = (view, name)

        def current(server: View[Row]) -> bytes:
            version = server.version()  # before the rows, which may be newer than it, never older
            page = None if version is None else self._pages.get(key)
            if page is not None and page.version == version:
                return page.body
            body = msgspec.json.encode(document(server))
            if version is not None:
                self._pages.put(key, _Page(version, body))
            return body

        body = await self._coalescer.read(key, lambda: read_consistently(view, current))
        return Response(body, media_type=MediaType.JSON)
