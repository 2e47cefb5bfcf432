"""Paths and names that stand in several tables."""

from urllib.parse import parse_qsl

WEBHOOK = "/webhooks/utility/dr-notification"
DR_EVENT = "/api/dr-events/{dr_event_id}"
FACILITY = "/api/facilities/{facility_id}"
AS_OF = "as_of"
_AS_OF = AS_OF.encode()


def names_a_past(query: bytes) -> bool:
    """Whether `as_of` is asked for, however it is written."""
    if _AS_OF not in query and b"%" not in query:
        return False
    return any(name == AS_OF for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
