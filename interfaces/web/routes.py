"""Paths and parameter names that several modules use."""

from urllib.parse import parse_qsl

WEBHOOK = "/webhooks/utility/dr-notification"
DR_EVENT = "/api/dr-events/{dr_event_id}"
FACILITY = "/api/facilities/{facility_id}"
AS_OF = "as_of"
_AS_OF = AS_OF.encode()


def has_as_of(query: bytes) -> bool:
    """Whether the query contains `as_of`, in any encoding."""
    if _AS_OF not in query and b"%" not in query:
        return False
    return any(name == AS_OF for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
