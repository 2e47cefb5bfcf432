"""The document of every list of the API."""

from typing import Generic, TypeVar

import msgspec

Item = TypeVar("Item")


class Listing(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """A page of a list."""

    items: tuple[Item, ...]
    next_cursor: str | None = None
