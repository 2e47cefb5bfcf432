"""Paths and names that several modules use."""

WEBHOOK = "/webhooks/utility/dr-notification"
DR_EVENT = "/api/dr-events/{dr_event_id}"
FACILITY = "/api/facilities/{facility_id}"
AS_OF = "as_of"
READS_PAST = "gridproof.reads_past"
"""In the scope of an admitted request with `as_of`."""
