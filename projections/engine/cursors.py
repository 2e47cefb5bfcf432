"""Where a list goes on, as an opaque text; and which filters a list takes."""

import base64
import binascii
from collections.abc import Mapping

import msgspec

from projections.engine.projection import AnyProjection


class InvalidCursor(ValueError):
    """The cursor was not given out by this list."""


class UnknownFilter(ValueError):
    """The read model cannot be filtered by that field."""


def cursor_after(listed: str, sort_key: str, key: str) -> str:
    """The cursor of the rows after (sort key, key) in the list of that name.

    It names no secret and lets nobody see more: whoever follows it is asked for the key, the role and the tenant anew.
    """
    return base64.urlsafe_b64encode(msgspec.json.encode((listed, sort_key, key))).decode().rstrip("=")


def read_cursor(listed: str, cursor: str) -> tuple[str, str]:
    """The (sort key, key) that a cursor of that list stands after. Raises InvalidCursor."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        of_list, sort_key, key = msgspec.json.decode(
            base64.b64decode(padded, altchars=b"-_", validate=True), type=tuple[str, str, str]
        )
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise not_ours() from error
    if of_list != listed or "\0" in sort_key + key:
        raise not_ours()
    return sort_key, key


def not_ours() -> InvalidCursor:
    return InvalidCursor("the cursor is not one of this list; begin again without it")


def checked_filters(projection: AnyProjection, filters: Mapping[str, str] | None) -> Mapping[str, str]:
    """The filters, all of them known. Raises UnknownFilter."""
    for name in filters or {}:
        if name not in projection.filters:
            known = ", ".join(sorted(projection.filters)) or "nothing"
            raise UnknownFilter(f"{projection.name} cannot be filtered by {name!r}, but by {known}")
    return filters or {}
