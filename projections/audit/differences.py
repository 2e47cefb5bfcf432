"""The differences between two values of the domain, field by field, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

MOST_NAMED = 60
"""Fields that one sentence names."""
NOTHING = "nothing"


def differences(before: msgspec.Struct | None, after: msgspec.Struct) -> str:
    """`field old -> new` of each field that differs, of nested values by their path; without a value before, each field
    that says something. Empty: nothing differs."""
    new = dict(_fields("", msgspec.to_builtins(after)))
    if before is None:
        return _listed([f"{name} {_text(value)}" for name, value in new.items() if value is not None])
    old = dict(_fields("", msgspec.to_builtins(before)))
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return _listed([f"{name} {_text(old.get(name))} -> {_text(new.get(name))}" for name in changed])


def _fields(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for name, nested in value.items():
        yield from _fields(f"{path}.{name}" if path else name, nested)


def _text(value: Any) -> str:
    if value in (None, [], {}, ""):
        return NOTHING
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _listed(parts: list[str]) -> str:
    more = len(parts) - MOST_NAMED
    return ", ".join(parts[:MOST_NAMED]) + (f", and {more} more" if more > 0 else "")
