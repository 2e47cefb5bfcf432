"""Tables for people: ids are shown whole, and columns are left out before an id breaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

GAP, EDGES = 3, 2
"""Between two columns, and left and right of them."""
LONGEST_WORD = 24
"""Of a longer word of other columns a line may hold a part."""
SHORT_ID = 8


class Column(NamedTuple):
    """`id`: never broken. `our id`: shortened where the table is too wide; commands take the utility's id instead."""

    title: str
    kind: Literal["text", "id", "our id"] = "text"


class Layout(NamedTuple):
    """The columns of a table and the texts of its cells."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]

    def needed(self, number: int) -> int:
        """The width that the column needs: an id on one line, other text at its spaces."""
        texts = [self.columns[number].title, *(row[number] for row in self.rows)]
        if self.columns[number].kind != "text":
            return max(map(len, texts))
        words = (word for text in texts for word in text.split())
        return min(LONGEST_WORD, max(map(len, words), default=0))

    def fits(self, width: int) -> bool:
        return self._spare(map(self.needed, self._numbers), width) >= 0

    def is_unbroken_in(self, width: int) -> bool:
        """True if every cell has room on one line."""
        return self._spare(map(self._longest_line, self._numbers), width) >= 0

    def widths(self, width: int) -> list[int]:
        """The width of each column: what it needs, and of the rest what it can use, the first columns first."""
        widths = [self.needed(number) for number in self._numbers]
        spare = max(0, self._spare(widths, width))
        for number in self._numbers:
            more = min(spare, max(0, self._longest_line(number) - widths[number]))
            widths[number] += more
            spare -= more
        return widths

    @property
    def _numbers(self) -> range:
        return range(len(self.columns))

    def _spare(self, widths: Iterable[int], width: int) -> int:
        return width - sum(widths) - GAP * (len(self.columns) - 1) - EDGES

    def _longest_line(self, number: int) -> int:
        texts = [self.columns[number].title, *(row[number] for row in self.rows)]
        return max(len(line) for text in texts for line in text.split("\n"))

    def shortened(self) -> Layout:
        ours = {number for number, column in enumerate(self.columns) if column.kind == "our id"}
        rows = [
            [text[:SHORT_ID] if number in ours else text for number, text in enumerate(row)]
            for row in self.rows
        ]
        return Layout(self.columns, rows)

    def without(self, number: int) -> Layout:
        return Layout(
            [column for place, column in enumerate(self.columns) if place != number],
            [[text for place, text in enumerate(row) if place != number] for row in self.rows],
        )

    @property
    def width(self) -> int:
        """The least with which no id breaks."""
        return -self._spare(map(self.needed, self._numbers), 0)

    def fitted(self, width: int) -> tuple[Layout, list[str]]:
        """The table that has room, and the titles of the columns that have none: of those that hold no id, the last
        ones, but never the first two."""
        if self.is_unbroken_in(width):
            return self, []
        layout, left_out = self.shortened(), list[str]()
        while not layout.fits(width):
            texts = [
                number for number, column in enumerate(layout.columns) if column.kind == "text" and number > 1
            ]
            if not texts:
                break
            left_out.append(layout.columns[texts[-1]].title)
            layout = layout.without(texts[-1])
        return layout, left_out[::-1]
