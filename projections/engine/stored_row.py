"""The stored form of rows: one JSON text per row, equal on every machine and at any time."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec

from domain.event_sourcing.decoders import converted

NO_NUL = "\ufffd"
"""The replacement character: PostgreSQL stores no NUL."""


def stored_form(row: msgspec.Struct) -> bytes:
    """The row as JSON, with sorted mapping keys, without what jsonb would refuse (NUL) or change (-0.0)."""
    encoded = msgspec.json.encode(row, order="deterministic")
    if b"\\u0000" in encoded or b"-0.0" in encoded:
        # Convert back to a row first: fields keep their order, and mapping keys are sorted.
        cleaned = converted(_clean(msgspec.to_builtins(row)), type(row))
        return msgspec.json.encode(cleaned, order="deterministic")
    return encoded


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", NO_NUL)
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def digest(rows: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 over (key, stored form) in the order of the keys, as hex."""
    total = sha256()
    for key, form in sorted(rows):
        total.update(len(key.encode()).to_bytes(4, "big") + key.encode())
        total.update(len(form).to_bytes(4, "big") + form)
    return total.hexdigest()
