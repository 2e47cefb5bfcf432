"""W3C Trace Context (level 1): a `traceparent` is read and written here. Span ids that follow from domain events."""

import re
from typing import NamedTuple
from uuid import UUID

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-(?P<parent_id>[0-9a-f]{16})-[0-9a-f]{2}(-[\x21-\x7e]*)?"
)
USUAL_CHARACTERS = 55
"""The exact length of version 00."""
MAX_CHARACTERS = 512
"""Later versions may append more after a dash; the length is limited."""


class TraceParent(NamedTuple):
    """The trace and the span that caused what follows."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


def parse_traceparent(traceparent: str) -> TraceParent | None:
    """None where the text is not a valid `traceparent` (an id of zeros is invalid)."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or len(traceparent) > MAX_CHARACTERS:
        return None
    if set(match["trace_id"]) == {"0"} or set(match["parent_id"]) == {"0"}:
        return None
    return TraceParent(match["trace_id"], match["parent_id"])


def trace_id_in(traceparent: str) -> str | None:
    """The trace id, 32 hexadecimal digits; None where the text is not a valid `traceparent`."""
    parent = parse_traceparent(traceparent)
    return None if parent is None else parent.trace_id


def span_id_of(domain_event_id: UUID) -> str:
    """The id of the span that recorded the domain event, or of another thing that happens once and has an id."""
    return domain_event_id.hex[:16]
