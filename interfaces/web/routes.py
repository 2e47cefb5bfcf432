"""Paths that stand in several tables."""

WEBHOOK = "/webhooks/utility/dr-notification"
DR_EVENT = "/api/dr-events/{dr_event_id}"
FACILITY = "/api/facilities/{facility_id}"
