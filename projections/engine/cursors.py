"""Cursors: the continuation of a list as an opaque text, and the check of its filters."""

import base64
import binascii

import msgspec

from domain.event_sourcing.decoders import json_decoder
from projections.engine.projection import AnyProjection, FilterKind


class InvalidCursor(ValueError):
    """The cursor does not belong to this list."""


class UnknownFilter(ValueError):
    """The read model cannot be filtered by that field."""


def cursor_after(listed: str, sort_key: str, key: str) -> str:
    """The cursor of the rows after (sort key, key) in the list of that name.

    It contains no secret and grants nothing: key, role and tenant are checked again for each request.
    """
    return base64.urlsafe_b64encode(msgspec.json.encode((listed, sort_key, key))).decode().rstrip("=")


def read_cursor(listed: str, cursor: str) -> tuple[str, str]:
    """The (sort key, key) of a cursor of that list. Raises InvalidCursor."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        of_list, sort_key, key = json_decoder(tuple[str, str, str]).decode(
            base64.b64decode(padded, altchars=b"-_", validate=True)
        )
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise invalid_cursor() from error
    if of_list != listed or "\0" in sort_key + key:
        raise invalid_cursor()
    return sort_key, key


def invalid_cursor() -> InvalidCursor:
    """The error for a cursor of another list."""
    return InvalidCursor("the cursor is not one of this list; begin again without it")


def filter_kind(projection: AnyProjection, name: str) -> FilterKind:
    """How rows are filtered by that field. Raises UnknownFilter if the read model has no such filter."""
    kind = projection.filters.get(name)
    if kind is None:
        existing = ", ".join(sorted(projection.filters)) or "nothing"
        raise UnknownFilter(f"{projection.name} cannot be filtered by {name!r}, but by {existing}")
    return kind
