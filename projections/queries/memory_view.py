"""A view of rows in memory, with the tenants, filters and cursors of the live one."""

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Any, Generic

from projections.engine.cursors import checked_filters, cursor_after, read_cursor
from projections.engine.memory_rows import MemoryRows
from projections.queries.views import MOST_ROWS, Page, Row, RowsVersion

_NO_NUL = "\ufffd"  # no stored text holds a NUL, see projections.engine.stored_row


class MemoryView(Generic[Row]):
    """One read model, of rows of type `Row`."""

    def __init__(self, rows: MemoryRows[Any], *, unchanging: bool = False) -> None:
        """`unchanging`: nobody folds into `rows` any more, so they are put in order once for all pages."""
        self._rows = rows
        self._unchanging = unchanging
        self._in_order: tuple[tuple[str, str, Any], ...] | None = None

    def get(self, key: str, *, tenant: str | None = None) -> Row | None:
        row = self._rows.get(_plain(key))
        projection = self._rows.projection
        if row is None or projection.sort_key(row) is None or not self._visible(row, tenant):
            return None
        found: Row = row
        return found

    def version(self) -> RowsVersion | None:
        return None

    def by_key(self, keys: Collection[str]) -> Mapping[str, Row]:
        return {key: row for key in keys if (row := self.get(key)) is not None}

    def listed(
        self,
        *,
        filters: Mapping[str, str] | None = None,
        tenant: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Row]:
        wanted = checked_filters(self._rows.projection, filters)
        after = None if cursor is None else read_cursor(self._rows.projection.name, cursor)
        matching = (
            (sort_key, key, row)
            for sort_key, key, row in self._ordered()
            if self._visible(row, tenant)
            and all(_matches(row, name, value) for name, value in wanted.items())
            and (after is None or self._comes_after((sort_key, key), after))
        )
        limit = min(max(limit, 1), MOST_ROWS)
        found = list(islice(matching, limit + 1))
        page = found[:limit]
        more = len(found) > limit
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
    found = getattr(row, name)
    value = _plain(value)
    return value in found if isinstance(found, tuple) else found is not None and str(found) == value


def _plain(value: str) -> str:
    return value.replace("\0", _NO_NUL)
