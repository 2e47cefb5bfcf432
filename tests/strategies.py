"""Hypothesis strategies for stored structs, built from their field types."""

import re
import types
import typing
from datetime import UTC, date, datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import strategies as st

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
NUMBERS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=12),
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=24),
    datetime: MOMENTS,
    UUID: st.uuids(),
    type(None): st.none(),
    date: st.dates(date(2000, 1, 1), date(2100, 1, 1)),
    msgspec.UnsetType: st.just(msgspec.UNSET),
}
WITH_PATTERN = ("0", "12.50", "-0.375", "02-29", "12-01", "00:00", "24:00", "EUR", "fac-001")
"""For strings with a pattern."""


# A strategy is validated once: building one for every example takes longer than drawing from it.
@cache
def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type that a stored struct may have as a field."""
    if kind in NUMBERS:
        return NUMBERS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _constrained(
            arguments[0], next(meta for meta in arguments[1:] if isinstance(meta, msgspec.Meta))
        )
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values_of(choice) for choice in arguments])
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin is frozenset:
        return st.frozensets(values_of(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=3)
    return structs_of(kind)


def _constrained(kind: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    """Values of that type within its pattern or bounds."""
    if meta.pattern is not None:
        pattern = re.compile(meta.pattern)
        return st.sampled_from([text for text in WITH_PATTERN if pattern.search(text)])
    if kind is int:
        return st.integers(
            None if meta.ge is None else int(meta.ge), 2**53 if meta.le is None else int(meta.le)
        )
    if kind is str:
        return st.text(min_size=meta.min_length or 0, max_size=12)
    values = values_of(kind)
    return values.filter(bool) if meta.min_length else values


@cache
def structs_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Structs of that class."""
    fields = {field.name: values_of(field.type) for field in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))
