"""What a caller or a device says of the trace that it is part of: a `traceparent` of W3C Trace Context, level 1."""

import re

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-(?P<parent_id>[0-9a-f]{16})-[0-9a-f]{2}(-[\x21-\x7e]*)?"
)
USUAL_CHARACTERS = 55
"""Of version 00: no more and no fewer."""
MOST_CHARACTERS = 512
"""Later versions may say more behind a dash: it is not kept without end."""


def trace_id_in(traceparent: str) -> str | None:
    """32 hexadecimal digits; None where it is none of W3C's (all zeros are no id)."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or len(traceparent) > MOST_CHARACTERS:
        return None
    if set(match["trace_id"]) == {"0"} or set(match["parent_id"]) == {"0"}:
        return None
    return match["trace_id"]
