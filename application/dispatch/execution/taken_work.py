"""The task of a taken row of BMS work: the intent in the log, or a check of the building."""

from __future__ import annotations

from uuid import UUID, uuid5

from application.event_store.open_work import IntentNotRecorded, recorded_work
from application.ports.dispatch.open_work import OpenWork
from application.ports.dispatch.requested_work import BmsWork
from application.ports.event_store.event_log import EventLog

NO_DR_EVENT = UUID(int=0)
CHECK_IDS = UUID("c1a56f0e-6d0b-5a44-9d6e-3f1d1f3b7a52")


def taken_work(log: EventLog, row: OpenWork) -> BmsWork:
    """The work of a row, for the BMS of the building in whose queue it stands.

    Raises IntentNotRecorded, LogEntryUnreadable (a newer release recorded it) or EventStoreUnavailable.
    """
    if row.position is None:
        return check_work(row.queue, row.number)
    work = recorded_work(log, row.position)
    if not isinstance(work, BmsWork) or work.facility_id != row.queue:
        raise IntentNotRecorded(f"the intent at position {row.position} of the log is none for {row.queue}")
    return work


def check_work(facility_id: str, number: int) -> BmsWork:
    """A check of the building. Which DR events it serves is looked up when it is carried out."""
    check_id = uuid5(CHECK_IDS, f"{facility_id}:{number}")
    return BmsWork(
        task="reconcile",
        dr_event_id=NO_DR_EVENT,
        facility_id=facility_id,
        command_id=None,
        correlation_id=check_id,
        causation_id=check_id,
        tenant=None,
        trace_id=check_id.hex,
    )
