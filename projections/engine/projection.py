"""What a read model is: frozen rows under keys, made by a pure fold over the log.

A projection asks for rows and puts rows; where they are kept (memory, PostgreSQL) it does not know. Positions
rise along the log; the same domain events in the same order give the same rows, however they are batched.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

import msgspec

from domain.event_sourcing.aggregate import DomainEvent

TRow = TypeVar("TRow", bound=msgspec.Struct)

FilterKind = Literal["equals", "contains"]


class Facts(msgspec.Struct):
    """What a projection needs of a stored domain event: decoded at a fraction of the cost of the whole.

    A subclass names fields of the stored JSON. Where it is stored is filled in.
    """

    topic: str = ""
    stream: bytes = b""
    """The stream's id, 16 bytes."""
    version: int = 0


class Rows(Protocol[TRow]):
    """The rows of one read model while it is folded."""

    def get(self, key: str) -> TRow | None: ...

    def put(self, row: TRow) -> None:
        """Keep the row under its own key, instead of what was there."""
        ...

    def add(self, row: TRow) -> None:
        """Keep a row whose key never was there before, and that no fold asks for or changes."""
        ...

    def delete(self, key: str) -> None:
        """Forget the row of that key; one that is not there is no error."""
        ...


class Projection(Protocol[TRow]):
    """Folds the log into the rows of one read model."""

    @property
    def name(self) -> str:
        """Also names the table, `rm_<name>`."""
        ...

    @property
    def version(self) -> int:
        """Raised when the same log would give other rows: the read model then wants a rebuild."""
        ...

    @property
    def row_type(self) -> Any:
        """The struct of a row, or a union of tagged structs: the rows to be read and the projection's memory."""
        ...

    @property
    def newest_first(self) -> bool:
        """Whether lists run from the highest `sort_key` down."""
        ...

    @property
    def filters(self) -> Mapping[str, FilterKind]:
        """Fields that lists can be filtered by: the value equals a text field, or is contained in a list."""
        ...

    @property
    def concerns(self) -> tuple[type[DomainEvent], ...]:
        """The kinds of domain events, or their bases, that `fold` looks at: a rebuild leaves out all others."""
        ...

    @property
    def independent_streams(self) -> bool:
        """Whether no stream's domain events ask for or put a row of another stream: a rebuild may be shared out."""
        ...

    @property
    def facts(self) -> type[Facts] | None:
        """What `fold` and `wanted` take as well as domain events, and are given from the log; None: domain events."""
        ...

    def key(self, row: TRow) -> str: ...

    def sort_key(self, row: TRow) -> str | None:
        """Orders lists, as bytes; see `sortable`. A row without one is memory: no query sees it."""
        ...

    def tenant(self, row: TRow) -> str | None:
        """The utility that may see the row; None: none of them in particular."""
        ...

    def wanted(self, domain_event: DomainEvent) -> Iterable[str]:
        """Keys that `fold` will ask for, so that a batch is fetched at once. Leaving one out is only slower."""
        ...

    def fold(self, position: int, domain_event: DomainEvent, rows: Rows[TRow]) -> None:
        """Take one domain event into account; pure but for `rows`. What does not matter changes nothing."""
        ...


AnyProjection = Projection[Any]


class RowsUnavailable(Exception):
    """Rows cannot be fetched now; the same fold may succeed later. Raised by `Rows.get`."""


class MissingRow(LookupError):
    """A domain event speaks of something whose beginning was never seen: the log is not whole."""


id_text: Callable[[UUID], str] = lru_cache(maxsize=65_536)(str)
"""The text of an id: one stream's domain events come close to each other, and a UUID writes itself out slowly."""


def existing(rows: Rows[TRow], key: str, domain_event: DomainEvent | Facts) -> TRow:
    """The row of `key`. Raises MissingRow."""
    row = rows.get(key)
    if row is None:
        told = (
            (domain_event.topic, UUID(bytes=domain_event.stream))
            if isinstance(domain_event, Facts)
            else (type(domain_event).__qualname__, domain_event.originator_id)
        )
        raise MissingRow(f"{told[0]} of stream {told[1]}: no row {key}")
    return row


def sortable(value: datetime | int) -> str:
    """A text of fixed width that sorts as the value does."""
    if isinstance(value, int):
        return f"{value:020d}"
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
