"""InfluxQL, the query language of InfluxDB 1.x, 2.x and 3.x: builds conditions, decodes responses."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from adapters.influxdb.line_protocol import microseconds
from domain.event_sourcing.decoders import json_decoder

Row = tuple[Any, ...]

_SELECT = "SELECT"
IDS_PER_CONDITION = 100
"""The number of values in one condition, since the length of a query is limited."""


class QueryRefused(ValueError):
    """InfluxDB returned an error for a statement; the text is its."""


class Series(msgspec.Struct, frozen=True):
    """Rows of one measurement with the same tags; the first column is the time, microseconds since the epoch."""

    columns: tuple[str, ...]
    values: tuple[Row, ...] = ()
    name: str = ""
    tags: dict[str, str] = {}

    def rows(self, *names: str) -> Iterator[Row]:
        """The values of the requested columns, in order."""
        places = [self.columns.index(name) for name in names]
        return (tuple(row[place] for place in places) for row in self.values)


class _Result(msgspec.Struct, frozen=True):
    series: tuple[Series, ...] = ()
    error: str | None = None
    partial: bool = False


class _QueryResult(msgspec.Struct, frozen=True):
    results: tuple[_Result, ...] = ()
    error: str | None = None


_decode = json_decoder(_QueryResult).decode


def read_response(body: bytes) -> list[tuple[Series, ...]]:
    """The series of each statement. Raises QueryRefused, and msgspec.MsgspecError for an invalid response."""
    response = _decode(body)
    errors = [text for text in (response.error, *(result.error for result in response.results)) if text]
    if errors:
        raise QueryRefused("; ".join(errors))
    if any(result.partial for result in response.results):
        raise QueryRefused("the response was truncated: raise max-row-limit of InfluxDB")
    return [result.series for result in response.results]


def text(value: str) -> str:
    """`value` as a string literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def name(value: str) -> str:
    """`value` as an identifier."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def select(columns: str, measurement: str, *conditions: str, by: str) -> str:
    """A query of the rows that meet all conditions, with one series for each value of the tags `by`."""
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"{_SELECT} {columns} FROM {measurement}{where} GROUP BY {by}"


def is_one_of(tag: str, values: Iterable[str]) -> str:
    """The condition that `tag` has one of `values`, of which there is at least one."""
    return "(" + " OR ".join(f"{tag} = {text(value)}" for value in values) + ")"


def since(moment: datetime) -> str:
    return f"time >= {microseconds(moment)}000"


def before(moment: datetime) -> str:
    return f"time < {microseconds(moment)}000"


def in_chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Chunks of IDS_PER_CONDITION, each value once."""
    distinct = list(dict.fromkeys(values))
    return (distinct[n : n + IDS_PER_CONDITION] for n in range(0, len(distinct), IDS_PER_CONDITION))
