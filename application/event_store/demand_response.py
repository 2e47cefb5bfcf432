"""The demand-response application of the event store: facilities, programs, DR events and dispatches in one
log."""

from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import EventStore

from application.event_store.snapshots import ReadableSnapshots
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.snapshot import Snapshot
from domain.facility import Facility
from domain.program import Program

AGGREGATES: tuple[type, ...] = (Facility, Program, DREvent, Dispatch)
"""Every aggregate of this log. Importing them registers their topics."""


class DemandResponse(Application[UUID]):
    """The name is stable: it names the table and the notification channel."""

    name = "demand_response"
    snapshot_class = Snapshot
    snapshotting_intervals: ClassVar[dict[Any, int]] = {Facility: 50, DREvent: 50, Dispatch: 50, Program: 50}

    def construct_snapshot_store(self) -> EventStore[UUID]:
        recorder = self.factory.aggregate_recorder(purpose="snapshots")
        return ReadableSnapshots(mapper=self.mapper, recorder=recorder)
