"""Decoding and conversion into types, safe in several threads.

msgspec (0.22) collects the fields of a struct when it first needs them, and runs Python code meanwhile. If another
thread then uses the same struct, or one that contains it, it finds incomplete type information, dereferences a null
pointer and ends the process. This module collects the fields under one lock; afterwards a type is thread-safe.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

_collecting = threading.Lock()


@overload
def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]: ...
@overload
def json_decoder(kind: Any) -> msgspec.json.Decoder[Any]: ...
def json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The cached JSON decoder of `kind`. Raises TypeError if msgspec cannot decode that type."""
    return _of_json(kind)


@overload
def msgpack_decoder(kind: type[T]) -> msgspec.msgpack.Decoder[T]: ...
@overload
def msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]: ...
def msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """The cached MessagePack decoder of `kind`. Raises TypeError if msgspec cannot decode that type."""
    return _of_msgpack(kind)


@overload
def converted(value: Any, kind: type[T], *, from_attributes: bool = False) -> T: ...
@overload
def converted(value: Any, kind: Any, *, from_attributes: bool = False) -> Any: ...
def converted(value: Any, kind: Any, *, from_attributes: bool = False) -> Any:
    """`value` as a `kind`, as `msgspec.convert` does it. Raises msgspec.ValidationError."""
    _of_json(kind)  # collects the fields
    return msgspec.convert(value, kind, from_attributes=from_attributes)


@cache
def _of_json(kind: Any) -> msgspec.json.Decoder[Any]:
    with _collecting:
        return msgspec.json.Decoder(kind)


@cache
def _of_msgpack(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    with _collecting:
        return msgspec.msgpack.Decoder(kind)
