"""Buildings after a restore of the database: what they may have done that the log no longer knows.

A lost command is not sent blindly: its id is derived from the DR event, which the utility may send again, so the BMS is
asked first. A building that is curtailed by a command that nothing in the log explains is reported. Nothing is sent to
it: the BMS restores it when the command expires, and the utility may send its DR event again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from application.ports.dispatch.building_control import BmsConnection, ZoneState
from application.ports.event_store.event_store import EventStore, StreamNotFound
from application.ports.operations.alerts import UNTIL_RESTATED, AlertRegistry
from domain.dispatch import Dispatch, DispatchState, DispatchStatus
from domain.facility import Facility, FacilityState
from domain.identifiers import dispatch_id, facility_stream_id

PREPARED_AHEAD = timedelta(days=1)
"""A building that was commanded before a restore serves in a window that begins at most so long after it."""
UNDONE: frozenset[DispatchStatus] = frozenset({"restored", "compensated", "aborted"})
"""The statuses that explain no curtailment."""


class RestoredLog(msgspec.Struct, frozen=True):
    """When the database was restored last; None: never, or long ago."""

    at: datetime | None = None

    def may_have_lost(self, dispatch: DispatchState) -> bool:
        """True if a command of that dispatch may have been sent without a record of it."""
        return self.at is not None and dispatch.starts_at <= self.at + PREPARED_AHEAD


NEVER_RESTORED = RestoredLog()
UNEXPLAINED = "curtailed_without_record"
"""The alert, about a facility. While it is open the building is asked again and again."""


class Inspection(msgspec.Struct, frozen=True):
    """The zones of a building that no dispatch of the log has anything to do with."""

    connection: BmsConnection
    zone_ids: tuple[str, ...]


def inspection_of(store: EventStore, facility_id: str) -> Inspection | None:
    """None where a dispatch of the log is under way, which is reconciled by itself, or there is nothing to ask."""
    try:
        facility: FacilityState = store.load(Facility, facility_stream_id(facility_id)).state
    except StreamNotFound:
        return None
    if facility.bms is None or not facility.zones or _is_under_way(store, facility):
        return None
    connection = BmsConnection(
        facility_id=facility_id,
        address=facility.bms.address,
        profile=facility.bms.profile,
        credentials_ref=facility.bms.credentials_ref,
        soap_traceparent=facility.bms.soap_traceparent,
    )
    return Inspection(connection, tuple(sorted(facility.zones)))


def _is_under_way(store: EventStore, facility: FacilityState) -> bool:
    for dr_event_id in (*facility.reservations, *facility.not_restored_from):
        with suppress(StreamNotFound):
            dispatch = store.load(Dispatch, dispatch_id(UUID(dr_event_id), facility.facility_id)).state
            if dispatch.commands and dispatch.status not in UNDONE:
                return True
    return False


def state_unexplained(alerts: AlertRegistry, facility_id: str, found: str | None, *, at: datetime) -> None:
    """State what the last look at the building showed; None: nothing is wrong. It holds until the next look, which any
    process may take."""
    stated = {} if found is None else {facility_id: found}
    observer = f"inspection of {facility_id}"
    alerts.state(UNEXPLAINED, stated, observer=observer, at=at, holds_s=UNTIL_RESTATED)


def unexplained(states: Sequence[ZoneState] | None) -> str | None:
    """The text for an operator about a building that should not be curtailed; None if it is not."""
    if states is None:
        return "after a restore of the database: it does not answer, so whether it is curtailed is not known"
    curtailed = [
        one.zone_id if one.active_command_id is None else f"{one.zone_id} by command {one.active_command_id}"
        for one in states
        if one.curtailed
    ]
    if not curtailed:
        return None
    return (
        f"curtailed, and the log knows nothing of it since a restore of the database: {', '.join(curtailed)}"
    )
