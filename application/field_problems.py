"""Faults of the fields of a document, field by field: msgspec itself stops at the first one."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from domain.event_sourcing.decoders import converted
from domain.program.settlement_rule import Currency
from domain.program.window import DayOfYear, HourOfDay
from domain.units import DecimalString, KilowattString

_MOST_SHOWN = 60
_NUMBER = 'number: write it with a point, in quotes: "0.40"'
_PATTERNS = {
    r"^[a-z0-9][a-z0-9_-]{0,62}(?!\n)$": "id: use small letters, digits, - and _, at most 63",
    r"^[A-Z]{2}(-[A-Z0-9]{1,3})?(?!\n)$": "country or region of ISO 3166: write DE, or US-CA",
    get_args(DecimalString)[1].pattern: _NUMBER,
    get_args(KilowattString)[1].pattern: _NUMBER,
    get_args(HourOfDay)[1].pattern: 'time of day: write "00:00" to "24:00"',
    get_args(DayOfYear)[1].pattern: 'day of every year: write month and day, "05-01"',
    get_args(Currency)[1].pattern: "currency: write its three capitals, such as USD",
}
"""Pattern of a text -> what it stands for. Those of a portfolio's ids and regions cannot be imported here."""


def wrong_fields(value: Any, kind: Any, path: str = "", *, others_allowed: bool = False) -> Iterator[str]:
    """Each wrong field of a decoded JSON or YAML value that is to become a `kind`: "path: problem". `others_allowed`:
    fields that no struct has are no problem."""
    kind = _chosen(value, kind)
    if get_origin(kind) is Annotated and get_origin(get_args(kind)[0]) in {tuple, dict}:
        yield from _wrong_length(value, kind, path)
        yield from wrong_fields(value, get_args(kind)[0], path, others_allowed=others_allowed)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from _wrong_struct(value, kind, path, others_allowed=others_allowed)
    elif get_origin(kind) is tuple and isinstance(value, list):
        for number, item in enumerate(value):
            yield from wrong_fields(
                item, get_args(kind)[0], f"{path}[{number}]", others_allowed=others_allowed
            )
    elif get_origin(kind) is dict and isinstance(value, dict):
        for name, item in value.items():
            yield from wrong_fields(item, get_args(kind)[1], f"{path}.{name}", others_allowed=others_allowed)
    else:
        try:
            converted(value, kind)
        except msgspec.ValidationError as error:
            yield f"{path or 'the document'}: {_explained(value, str(error), kind)}"


def _chosen(value: Any, kind: Any) -> Any:
    """The member of a union: the struct for an object, the tuple for an array; else the whole of it."""
    if get_origin(kind) not in {Union, UnionType}:
        return kind
    for choice in get_args(kind):
        plain = get_args(choice)[0] if get_origin(choice) is Annotated else choice
        is_struct = isinstance(plain, type) and issubclass(plain, msgspec.Struct)
        if (isinstance(value, dict) and is_struct) or (
            isinstance(value, list) and get_origin(plain) is tuple
        ):
            return choice
    return kind


def _explained(value: Any, error: str, kind: Any) -> str:
    """The error of msgspec without its own path, in the words of a pattern; of a name that is not in a list, with the
    list."""
    problem = error.partition(" - at ")[0]
    if "matching regex" in problem and (words := next(_words(kind), None)):
        return f'"{value[:_MOST_SHOWN]}" is no {words}'
    choices = ", ".join(str(choice) for choice in _choices(kind))
    if choices and problem.startswith("Invalid enum value"):
        return f"{problem}; use {choices}"
    if choices and problem.startswith("Expected"):
        return f"{problem}; use one of {choices}"
    is_unquoted = problem.startswith("Expected `str") and problem.endswith(("got `float`", "got `int`"))
    return f"{problem}: write it in quotes" if is_unquoted else problem


def _words(kind: Any) -> Iterator[str]:
    """The words of its patterns."""
    if isinstance(kind, msgspec.Meta):
        if kind.pattern in _PATTERNS:
            yield _PATTERNS[kind.pattern]
    elif get_origin(kind) in {Union, UnionType, Annotated}:
        for part in get_args(kind):
            yield from _words(part)


def _choices(kind: Any) -> tuple[Any, ...]:
    """The values that a kind lists, also one that may be null."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in {Union, UnionType, Annotated}:
        return tuple(choice for part in get_args(kind) for choice in _choices(part))
    return ()


def _wrong_length(value: Any, kind: Any, path: str) -> Iterator[str]:
    bounds = [meta for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta)]
    for meta in bounds:
        if meta.max_length is not None and isinstance(value, list | dict) and len(value) > meta.max_length:
            yield f"{path}: Expected `array` of length <= {meta.max_length}, got {len(value)}"
        if meta.min_length is not None and isinstance(value, list) and len(value) < meta.min_length:
            yield f"{path}: Expected `array` of length >= {meta.min_length}, got {len(value)}"


def _wrong_struct(
    value: Any, kind: type[msgspec.Struct], path: str, *, others_allowed: bool
) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path or 'the document'}: Expected `object`, got `{type(value).__name__}`"
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    before = f"{path}." if path else ""
    for name in value:
        if name not in fields and not others_allowed:
            yield f"{before}{name}: there is no such field; there are {', '.join(fields)}"
    for name, field in fields.items():
        if name in value:
            yield from wrong_fields(value[name], field.type, f"{before}{name}", others_allowed=others_allowed)
        elif field.required:
            yield f"{before}{name}: is missing"
