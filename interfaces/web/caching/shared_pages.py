"""Encoded documents of a read model's rows: shared by concurrent callers, and valid until a row changes (ADR 0090)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import msgspec

from application.bounded_cache import BoundedCache
from interfaces.web.caching.coalescing import ReadCoalescer
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

    async def read(
        self, view: View[Row], name: Hashable, document: Callable[[View[Row]], msgspec.Struct]
    ) -> bytes:
        """The JSON of `document`. `name` contains everything that it depends on besides the rows of `view`, including
        who may see it."""
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

        return await self._coalescer.read(key, lambda: read_consistently(view, current))
