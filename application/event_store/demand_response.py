"""The demand-response application of the event store: facilities, programs, DR events and dispatches in one
log."""

from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import EventStore

from application.event_store.snapshots import ReadableSnapshots
from domain.aggregates import DEMAND_RESPONSE_AGGREGATES
from domain.event_sourcing.snapshot import Snapshot


class DemandResponse(Application[UUID]):
    """The name is stable: it names the table and the notification channel."""

    name = "demand_response"
    snapshot_class = Snapshot
    snapshotting_intervals: ClassVar[dict[Any, int]] = dict.fromkeys(DEMAND_RESPONSE_AGGREGATES, 50)

    def construct_snapshot_store(self) -> EventStore[UUID]:
        recorder = self.factory.aggregate_recorder(purpose="snapshots")
        return ReadableSnapshots(mapper=self.mapper, recorder=recorder)
