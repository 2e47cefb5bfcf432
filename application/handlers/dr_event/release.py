"""Release of facilities, in the transaction that ends a DR event's claim on them."""

from application.command_bus.decision_context import DecisionContext
from domain.dr_event import DREvent
from domain.facility import Facility


def concerned_facilities(dr_event: DREvent) -> tuple[str, ...]:
    """The requested facilities, and those that a modification dropped while their buildings were curtailed."""
    return tuple(dict.fromkeys((*dr_event.state.judged_notice.facility_ids, *dr_event.state.dispatched)))


def released(dr_event: DREvent, deciding: DecisionContext, *, served: bool) -> list[Facility]:
    """`served`: whether the DR event counts against the facilities' limits."""
    facilities = list(deciding.facilities(concerned_facilities(dr_event)).values())
    for facility in facilities:
        facility.release(deciding.provenance, dr_event_id=dr_event.id, served=served)
    return facilities
