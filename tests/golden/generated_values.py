"""Values for the golden corpus, derived from field types: optional fields have a value, collections one item."""

import re
import types
import typing
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec

_WRITTEN = ("12.5", "06-30", "17:30", "EUR")
"""For strings with a pattern."""


def generate_struct(kind: type[msgspec.Struct], random: Random) -> Any:
    return kind(
        **{
            field.name: generate_value(field.type, field.name, random)
            for field in msgspec.structs.fields(kind)
        }
    )


def generate_value(kind: Any, name: str, random: Random) -> Any:
    """A value of that type, which contains the name of its field if possible."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _constrained(generate_value(arguments[0], name, random), arguments[1:])
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        return generate_value(next(choice for choice in arguments if choice is not type(None)), name, random)
    if origin in (tuple, frozenset):
        return origin([generate_value(arguments[0], name, random)])
    if origin is dict:
        return {generate_value(arguments[0], name, random): generate_value(arguments[1], name, random)}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return generate_struct(kind, random)
    return _plain(kind, name, random)


def _constrained(value: Any, constraints: tuple[Any, ...]) -> Any:
    """The value, or another one that the pattern or bounds allow."""
    for meta in constraints:
        if meta.pattern is not None:
            return next(text for text in _WRITTEN if re.search(meta.pattern, text))
        if meta.le is not None:
            value = min(value, meta.le)
    return value


def _plain(kind: Any, name: str, random: Random) -> Any:
    if kind is datetime:
        start = datetime(2026, 7, 14, 21, 0, tzinfo=UTC)
        return start + timedelta(seconds=random.randrange(86_400), microseconds=random.randrange(10**6))
    if kind is date:
        return date(2026, 7, 14) + timedelta(days=random.randrange(365))
    if kind is UUID:
        return UUID(int=random.getrandbits(128), version=5)
    if kind is float:
        return round(random.uniform(-1_000, 1_000), 3)
    return {str: f"{name} ü 1", int: random.randrange(1, 10_000), bool: True, bytes: name.encode()}[kind]
