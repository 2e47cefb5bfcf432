"""Parsing of a `traceparent` (W3C Trace Context, level 1) from a caller or a device."""

import re

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-(?P<parent_id>[0-9a-f]{16})-[0-9a-f]{2}(-[\x21-\x7e]*)?"
)
USUAL_CHARACTERS = 55
"""The exact length of version 00."""
MAX_CHARACTERS = 512
"""Later versions may append more after a dash; the length is limited."""


def trace_id_in(traceparent: str) -> str | None:
    """The trace id, 32 hexadecimal digits; None where the text is not a valid `traceparent` (an id of zeros
    is invalid)."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or len(traceparent) > MAX_CHARACTERS:
        return None
    if set(match["trace_id"]) == {"0"} or set(match["parent_id"]) == {"0"}:
        return None
    return match["trace_id"]
