"""Typed JSON decoders that several threads may ask for at once.

msgspec (0.22) learns the fields of a struct when a decoder first needs them, and runs Python meanwhile. Another thread
that then asks for the same struct, or for one that holds it, is given it half learnt: its first decode reads a null
pointer, and the process is gone. Here learning happens under one lock; what is learnt is safe for everybody.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_learning = threading.Lock()


def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder of `kind`, made once. Raises TypeError where msgspec cannot decode into it."""
    asked: Any = kind
    return _made(asked)


@cache
def _made(kind: Any) -> msgspec.json.Decoder[Any]:
    with _learning:
        return msgspec.json.Decoder(kind)
