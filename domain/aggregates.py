"""The aggregates of the demand response log, and the topics of their domain events."""

from eventsourcing.utils import get_topic

from domain.administration import ACTS_ON_DR_EVENTS, AdministrativeAct
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from domain.facility import OF_DR_EVENT, Facility
from domain.program import Program
from domain.telemetry.sealed_readings import DaySeals, HistorySeals

DEMAND_RESPONSE_AGGREGATES: tuple[type, ...] = (
    Facility,
    Program,
    DREvent,
    Dispatch,
    AdministrativeAct,
    DaySeals,
    HistorySeals,
)
"""Every aggregate of the log; importing them registers their topics."""


def topics_of(kinds: tuple[type[DomainEvent], ...] = (DomainEvent,)) -> frozenset[str]:
    """The topics of the log's domain events in this release that are of one of `kinds`."""
    return frozenset(
        get_topic(nested)
        for aggregate in DEMAND_RESPONSE_AGGREGATES
        for nested in vars(aggregate).values()
        if isinstance(nested, type) and issubclass(nested, DomainEvent) and issubclass(nested, kinds)
    )


LISTED_TOPICS: frozenset[str] = topics_of(
    (AdministrativeAct.Event, Facility.Event, Program.Event, *ACTS_ON_DR_EVENTS)
) - topics_of(OF_DR_EVENT)
"""What people change beside the course of DR events: the log has an index of these domain events."""
