"""Release of facilities, in the transaction that ends a DR event's claim on them."""

from application.command_bus.decision_context import DecisionContext
from domain.dr_event import DREvent
from domain.facility import Facility


def affected_facilities(dr_event: DREvent) -> tuple[str, ...]:
    """The requested facilities, and those that a modification dropped while their buildings were curtailed."""
    return tuple(dict.fromkeys((*dr_event.state.judged_notice.facility_ids, *dr_event.state.dispatched)))


def release_facilities(dr_event: DREvent, context: DecisionContext, *, served: bool) -> list[Facility]:
    """`served`: whether the DR event counts against the facilities' limits."""
    facilities = list(context.facilities(affected_facilities(dr_event)).values())
    for facility in facilities:
        facility.release(context.provenance, dr_event_id=dr_event.id, served=served)
    return facilities
