"""Handler for a modification: the changed notice is judged, then accepted or refused; replanning follows from
its event."""

from collections.abc import Mapping
from typing import Literal

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import Modification, ModifyDREvent
from application.handlers.dr_event.facility_facts import facilities_of_utility
from application.handlers.dr_event.feasibility_check import FeasibilityResult, judge_changed, terms_of
from application.handlers.dr_event.preemption import preempted
from application.handlers.dr_event.repricing import over_reason, repriced_notice, stated_by
from application.handlers.dr_event.settlement_check import rule_in_force, settlement_reasons
from domain.dr_event import RUNNING, DREvent, Notice, Reason
from domain.dr_event.reasons import summarized
from domain.errors import UnknownDREvent
from domain.facility import Facility
from domain.identifiers import dr_event_id

ModificationOutcome = Literal["modified", "refused", "stale", "repeated", "ended"]


def modify_dr_event(command: ModifyDREvent, context: DecisionContext) -> Decision:
    """Accept a changed notice, or refuse it with its reasons and leave the old one in force.

    Raises UnknownDREvent where no DR event of that id was ever accepted.
    """
    dr_event = context.find_dr_event(dr_event_id(command.utility_id, command.utility_event_id))
    if dr_event is None or dr_event.state.status in {"opened", "rejected"}:
        raise UnknownDREvent(f"no accepted DR event {command.utility_event_id!r}; post it first")
    repriced = repriced_notice(dr_event, command)
    if (unchanged := _unchanged(dr_event, command, repriced, context)) is not None:
        return Decision(reply=unchanged)
    if repriced is not None:
        return _reprice(dr_event, command, repriced, context)
    in_force = dr_event.state.judged_notice
    dropped_before = in_force.facility_ids
    existing = context.facilities(command.notice.facility_ids)
    facilities = facilities_of_utility(existing, command.utility_id, in_force.program_id, context)
    judged = judge_changed(dr_event, command.notice, terms_of(dr_event, context), facilities, context)
    rule = rule_in_force(in_force.program_id, context)
    if reasons := judged.reasons + settlement_reasons(dr_event, command, judged.notice, rule):
        return _refused(dr_event, command, reasons, context)
    losers = [preempted(*losing, facilities, dr_event, context) for losing in judged.losing.items()]
    _take_over(dr_event, judged, command, facilities, context)
    dropped = _dropped(dr_event, dropped_before, context)
    return Decision(
        *losers, dr_event, *facilities.values(), *dropped, reply=_modification(dr_event, "modified")
    )


def _reprice(dr_event: DREvent, command: ModifyDREvent, notice: Notice, context: DecisionContext) -> Decision:
    """Judge kind and prices alone of an unchanged request: it keeps its plan and its reservations."""
    rule = rule_in_force(dr_event.state.judged_notice.program_id, context)
    if reasons := settlement_reasons(dr_event, command, notice, rule):
        return _refused(dr_event, command, reasons, context)
    stated = stated_by(command, dr_event)
    dr_event.reprice(context.provenance, notice=notice, kind=stated.kind, prices=stated.prices)
    return Decision(dr_event, reply=_modification(dr_event, "modified"))


def _refused(
    dr_event: DREvent, command: ModifyDREvent, reasons: tuple[Reason, ...], context: DecisionContext
) -> Decision:
    dr_event.refuse_modification(context.provenance, notice=command.notice, reasons=reasons)
    return Decision(dr_event, reply=_modification(dr_event, "refused", reasons))


def _unchanged(
    dr_event: DREvent, command: ModifyDREvent, repriced: Notice | None, context: DecisionContext
) -> Modification | None:
    """The reply where there is nothing to judge."""
    state, number = dr_event.state, command.notice.modification_number
    if state.status not in RUNNING and (over := over_reason(dr_event, repriced, context)) is not None:
        return _modification(dr_event, "ended", (over,))
    if number < state.modification_number:
        stands = f"modification {state.modification_number} stands"
        return _modification(dr_event, "stale", (Reason(code="stale_modification", detail=stands),))
    if number == state.modification_number:
        return _modification(dr_event, "repeated")
    return None


def _take_over(
    dr_event: DREvent,
    judged: FeasibilityResult,
    command: ModifyDREvent,
    facilities: Mapping[str, Facility],
    context: DecisionContext,
) -> None:
    notice = judged.notice
    stated = stated_by(command, dr_event)
    dr_event.modify(
        context.provenance,
        notice=notice,
        capacity_kw=judged.capacity_kw,
        capacity_source=judged.capacity_source,
        capacity_degraded_kw=judged.capacity_degraded_kw,
        shortfall_kw=judged.shortfall_kw,
        start_offset_s=judged.start_offset_s,
        blocked_facilities=judged.blocked_facilities,
        at_risk_facilities=judged.at_risk_facilities,
        kind=stated.kind,
        prices=stated.prices,
    )
    for facility in facilities.values():
        facility.reserve(context.provenance, judged.reservation)


def _dropped(dr_event: DREvent, before: tuple[str, ...], context: DecisionContext) -> list[Facility]:
    """Release facilities that are no longer requested; while the window runs, only after their buildings are
    restored."""
    state = dr_event.state
    still_requested = {
        *state.judged_notice.facility_ids,
        *(state.dispatched if state.status == "active" else ()),
    }
    gone = [facility_id for facility_id in before if facility_id not in still_requested]
    facilities = list(context.facilities(gone).values())
    for facility in facilities:
        facility.release(context.provenance, dr_event_id=dr_event.id, served=False)
    return facilities


def _modification(
    dr_event: DREvent, outcome: ModificationOutcome, reasons: tuple[Reason, ...] = ()
) -> Modification:
    state, notice = dr_event.state, dr_event.state.notice
    listed, counts = summarized(reasons)
    return Modification(
        dr_event_id=dr_event.id,
        status=outcome,
        dr_event_status=state.status,
        modification_number=state.modification_number,
        reasons=listed,
        reason_counts=counts,
        capacity_kw=state.capacity_kw,
        capacity_source=state.capacity_source,
        shortfall_kw=state.shortfall_kw,
        capacity_degraded_kw=state.capacity_degraded_kw,
        blocked_facilities=state.blocked_facilities,
        at_risk_facilities=state.at_risk_facilities,
        starts_at=None if notice is None else notice.starts_at,
        ends_at=None if notice is None else notice.ends_at,
    )
