"""Handler for a modification: the changed notice is judged, then accepted or refused; replanning follows from
its event."""

from collections.abc import Mapping
from typing import Literal

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import Modification, ModifyDREvent
from application.handlers.dr_event.feasibility_check import Judged, judge_changed, terms_of
from application.handlers.dr_event.preemption import handed_over
from domain.dr_event import RUNNING, DREvent, Reason
from domain.errors import UnknownDREvent
from domain.facility import Facility
from domain.identifiers import dr_event_id

Came = Literal["modified", "refused", "stale", "repeated", "ended"]


def modify_dr_event(command: ModifyDREvent, deciding: DecisionContext) -> Decision:
    """Accept a changed notice, or refuse it with every reason and leave the old one in force.

    Raises UnknownDREvent where no DR event of that id was ever accepted.
    """
    dr_event = deciding.find_dr_event(dr_event_id(command.utility_id, command.utility_event_id))
    if dr_event is None or dr_event.state.status in {"opened", "rejected"}:
        raise UnknownDREvent(f"no accepted DR event {command.utility_event_id!r}; post it first")
    if (unchanged := _unchanged(dr_event, command)) is not None:
        return Decision(reply=unchanged)
    dropped_before = dr_event.state.judged_notice.facility_ids
    facilities = deciding.facilities(command.notice.facility_ids)
    judged = judge_changed(dr_event, command.notice, terms_of(dr_event, deciding), facilities, deciding)
    if not judged.feasibility.feasible:
        dr_event.refuse_modification(deciding.provenance, notice=command.notice, reasons=judged.reasons)
        return Decision(dr_event, reply=_modification(dr_event, "refused", judged.reasons))
    losers = handed_over(judged.losing, facilities, dr_event, deciding)
    _take_over(dr_event, judged, facilities, deciding)
    dropped = _dropped(dr_event, dropped_before, deciding)
    return Decision(
        *losers, dr_event, *facilities.values(), *dropped, reply=_modification(dr_event, "modified")
    )


def _unchanged(dr_event: DREvent, command: ModifyDREvent) -> Modification | None:
    """The reply where there is nothing to judge."""
    state, number = dr_event.state, command.notice.modification_number
    if state.status not in RUNNING:
        reason = Reason(
            code="not_allowed_now", detail=f"it is {state.status}; nothing can be changed any more"
        )
        return _modification(dr_event, "ended", (reason,))
    if number < state.modification_number:
        stands = f"modification {state.modification_number} stands"
        return _modification(dr_event, "stale", (Reason(code="stale_modification", detail=stands),))
    if number == state.modification_number:
        return _modification(dr_event, "repeated")
    return None


def _take_over(
    dr_event: DREvent, judged: Judged, facilities: Mapping[str, Facility], deciding: DecisionContext
) -> None:
    notice, feasibility = judged.notice, judged.feasibility
    dr_event.modify(
        deciding.provenance,
        notice=notice,
        capacity_kw=feasibility.capacity_kw,
        capacity_source=judged.capacity_source,
        capacity_degraded_kw=feasibility.capacity_degraded_kw,
        shortfall_kw=feasibility.shortfall_kw,
        start_offset_s=judged.start_offset_s,
    )
    for facility in facilities.values():
        facility.reserve(
            deciding.provenance,
            dr_event_id=dr_event.id,
            starts_at=notice.starts_at,
            ends_at=notice.ends_at,
        )


def _dropped(dr_event: DREvent, before: tuple[str, ...], deciding: DecisionContext) -> list[Facility]:
    """Release facilities that are no longer requested; while the window runs, only after their buildings are
    restored."""
    state = dr_event.state
    kept = {*state.judged_notice.facility_ids, *(state.dispatched if state.status == "active" else ())}
    gone = [facility_id for facility_id in before if facility_id not in kept]
    facilities = list(deciding.facilities(gone).values())
    for facility in facilities:
        facility.release(deciding.provenance, dr_event_id=dr_event.id, served=False)
    return facilities


def _modification(dr_event: DREvent, came: Came, reasons: tuple[Reason, ...] = ()) -> Modification:
    state, notice = dr_event.state, dr_event.state.notice
    return Modification(
        dr_event_id=dr_event.id,
        status=came,
        dr_event_status=state.status,
        modification_number=state.modification_number,
        reasons=reasons,
        capacity_kw=state.capacity_kw,
        capacity_source=state.capacity_source,
        shortfall_kw=state.shortfall_kw,
        capacity_degraded_kw=state.capacity_degraded_kw,
        starts_at=None if notice is None else notice.starts_at,
        ends_at=None if notice is None else notice.ends_at,
    )
