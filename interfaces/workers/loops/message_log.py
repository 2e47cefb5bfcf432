"""Log lines about a message of the work queue, also before it is read as a whole and after it failed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from uuid import UUID

import msgspec

from application.command_bus.spans import logged
from domain.event_sourcing.decoders import json_decoder


class _Named(msgspec.Struct, frozen=True):
    trace_id: str
    dr_event_id: UUID
    facility_id: str | None = None


def logged_message(body: bytes) -> AbstractContextManager[None]:
    """Log lines in the block name the trace, the DR event and the facility of that message, if it can be read."""
    try:
        named = json_decoder(_Named).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return nullcontext()
    return logged(named.trace_id, dr_event=named.dr_event_id, facility=named.facility_id)
