"""Cached JSON decoders that are safe to create from several threads.

msgspec (0.22) collects the fields of a struct when a decoder first needs them, and runs Python code
meanwhile. If another thread then requests a decoder for the same struct, or for one that contains it, it gets
incomplete type information, and its first decode dereferences a null pointer and ends the process. This
module creates decoders under one lock; a finished decoder is thread-safe.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_creating = threading.Lock()


def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The cached decoder of `kind`. Raises TypeError if msgspec cannot decode that type."""
    hashable: Any = kind
    return _create(hashable)


@cache
def _create(kind: Any) -> msgspec.json.Decoder[Any]:
    with _creating:
        return msgspec.json.Decoder(kind)
