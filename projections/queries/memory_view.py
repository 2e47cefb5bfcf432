"""A view of rows in memory, with the same tenants, filters and cursors as the live view."""

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Any, Generic

from projections.engine.cursors import cursor_after, filter_kind, read_cursor
from projections.engine.memory_rows import MemoryRows
from projections.queries.views import MAX_PAGE_ROWS, Page, Row, RowsVersion

_NO_NUL = "\ufffd"  # Stored texts contain no NUL, see projections.engine.stored_row.


class MemoryView(Generic[Row]):
    """A read model with rows of type `Row`."""

    def __init__(self, rows: MemoryRows[Any], *, unchanging: bool = False) -> None:
        """`unchanging`: nothing is folded into `rows` any more, so they are sorted once for all pages."""
        self._rows = rows
        self._unchanging = unchanging
        self._in_order: tuple[tuple[str, str, Any], ...] | None = None

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        return self._row(key, tenant)

    def _row(self, key: str, tenant: str | None) -> Row | None:
        row = self._rows.get(_plain(key))
        projection = self._rows.projection
        if row is None or projection.sort_key(row) is None or not self._visible(row, tenant):
            return None
        visible: Row = row
        return visible

    def version(self) -> RowsVersion | None:
        return None

    def by_key(self, keys: Collection[str]) -> Mapping[str, Row]:
        return {key: row for key in keys if (row := self._row(key, None)) is not None}

    def listed(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        tenant: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Row]:
        wanted = filters or {}
        for name in wanted:
            filter_kind(self._rows.projection, name)
        after = None if cursor is None else read_cursor(self._rows.projection.name, cursor)
        matching = (
            (sort_key, key, row)
            for sort_key, key, row in self._ordered()
            if self._visible(row, tenant)
            and all(_matches(row, name, value) for name, value in wanted.items())
            and (after is None or self._comes_after((sort_key, key), after))
        )
        limit = min(max(limit, 1), MAX_PAGE_ROWS)
        rows = list(islice(matching, limit + 1))
        page = rows[:limit]
        more = len(rows) > limit
        following = cursor_after(self._rows.projection.name, *page[-1][:2]) if more else None
        return Page(tuple(row for _, _, row in page), following)

    def _ordered(self) -> Iterable[tuple[str, str, Any]]:
        if not self._unchanging:
            return self._rows.listed()
        if self._in_order is None:
            self._in_order = tuple(self._rows.listed())
        return self._in_order

    def _visible(self, row: Any, tenant: str | None) -> bool:
        return tenant is None or self._rows.projection.tenant(row) == tenant

    def _comes_after(self, place: tuple[str, str], other: tuple[str, str]) -> bool:
        return place < other if self._rows.projection.newest_first else place > other


def _matches(row: Any, name: str, value: str) -> bool:
    field = getattr(row, name)
    value = _plain(value)
    return value in field if isinstance(field, tuple) else field is not None and str(field) == value


def _plain(value: str) -> str:
    return value.replace("\0", _NO_NUL)
