"""The protocol of a projection: frozen rows under keys, made by a pure fold over the log.

A projection reads and writes rows through `Rows`, independent of where they are stored (memory, PostgreSQL).
Positions ascend along the log. The same domain events in the same order give the same rows, however they are
batched.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

import msgspec

from domain.event_sourcing.aggregate import DomainEvent
from projections.engine.division import LogPart

TRow = TypeVar("TRow", bound=msgspec.Struct)

FilterKind = Literal["equals", "contains"]


class Facts(msgspec.Struct):
    """The fields of a stored domain event that a projection needs, decoded faster than the whole.

    A subclass declares fields of the stored JSON. Topic, stream and version are filled in.
    """

    topic: str = ""
    stream: bytes = b""
    """The stream's id, 16 bytes."""
    version: int = 0


class Rows(Protocol[TRow]):
    """The rows of one read model while it is folded."""

    def get(self, key: str) -> TRow | None: ...

    def put(self, row: TRow) -> None:
        """Store the row under its key; it replaces an existing one."""
        ...

    def add(self, row: TRow) -> None:
        """Store a row with a new key that no fold reads or changes later."""
        ...

    def delete(self, key: str) -> None:
        """Delete the row of that key; a missing one is no error."""
        ...


class Projection(Protocol[TRow]):
    """Folds the log into the rows of one read model."""

    @property
    def name(self) -> str:
        """Also the suffix of the table name, `rm_<name>`."""
        ...

    @property
    def version(self) -> int:
        """Raised if the same log would give other rows: the read model then needs a rebuild."""
        ...

    @property
    def row_type(self) -> Any:
        """The struct of a row, or a union of tagged structs: rows for queries and internal rows."""
        ...

    @property
    def newest_first(self) -> bool:
        """True if lists are in descending order of `sort_key`."""
        ...

    @property
    def filters(self) -> Mapping[str, FilterKind]:
        """Fields by which lists can be filtered: the value equals a text field, or is an element of a list."""
        ...

    @property
    def concerns(self) -> tuple[type[DomainEvent], ...]:
        """The kinds of domain events, or their bases, that `fold` uses: a rebuild skips all others."""
        ...

    @property
    def facts(self) -> type[Facts] | None:
        """The type that `fold` and `wanted` accept instead of domain events, and get from the log; None:
        domain events.
        """
        ...

    def divided(self, count: int) -> Sequence[LogPart]:
        """`count` parts (2 or more) that a rebuild folds beside each other; together they give the same rows."""
        ...

    def joined(self, shares: Sequence[tuple[TRow, int]]) -> tuple[TRow, int] | None:
        """The one row of sums and the position of its last change, from those of the parts that have a share of it."""
        ...

    def key(self, row: TRow) -> str: ...

    def sort_key(self, row: TRow) -> str | None:
        """The order of lists, as bytes; see `sortable`. A row without one is internal: no query returns it."""
        ...

    def tenant(self, row: TRow) -> str | None:
        """The utility that may see the row; None: no utility in particular."""
        ...

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        """Keys that `fold` will read, so that a batch is fetched at once. A missing one only costs time."""
        ...

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[TRow]) -> None:
        """Fold one domain event into `rows`; otherwise pure. Domain events of no concern change nothing."""
        ...


AnyProjection = Projection[Any]


class RowsUnavailable(Exception):
    """Rows cannot be fetched now; the same fold may succeed later. Raised by `Rows.get`."""


class ReadModelsUnavailable(Exception):
    """The read models cannot be reached, did not answer in time, or contradict the log."""


class MissingRow(LookupError):
    """A domain event refers to a row that does not exist: the log is incomplete."""


id_text: Callable[[UUID], str] = lru_cache(maxsize=65_536)(str)
"""The text of an id, cached: a stream's domain events are close together, and formatting a UUID is slow."""


def existing(rows: Rows[TRow], key: str, domain_event: DomainEvent | Facts) -> TRow:
    """The row of `key`. Raises MissingRow."""
    row = rows.get(key)
    if row is None:
        topic, stream = (
            (domain_event.topic, UUID(bytes=domain_event.stream))
            if isinstance(domain_event, Facts)
            else (type(domain_event).__qualname__, domain_event.originator_id)
        )
        raise MissingRow(f"{topic} of stream {stream}: no row {key}")
    return row


def sortable(value: datetime | int) -> str:
    """A text of fixed width that sorts like the value."""
    if isinstance(value, int):
        return f"{value:020d}"
    return f"{value.astimezone(UTC).isoformat(timespec='microseconds').removesuffix('+00:00')}Z"
