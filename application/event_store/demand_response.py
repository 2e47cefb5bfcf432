"""The demand-response application of the event store: facilities, programs, DR events and dispatches in one
log."""

from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.application import Application

from domain.aggregates import DEMAND_RESPONSE_AGGREGATES


class DemandResponse(Application[UUID]):
    """The name is stable: it names the table and the notification channel."""

    name = "demand_response"
    snapshot_intervals: ClassVar[dict[Any, int]] = dict.fromkeys(DEMAND_RESPONSE_AGGREGATES, 50)
    """Not the library's own setting, `snapshotting_intervals`: the library would believe every stored snapshot."""
