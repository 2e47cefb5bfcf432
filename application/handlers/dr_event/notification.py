"""Handler for a utility's notification: it is accepted, or rejected with its reasons."""

from collections.abc import Mapping

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import Judgement, JudgeNotification
from application.handlers.dr_event.facility_facts import facilities_of_utility
from application.handlers.dr_event.feasibility_check import FeasibilityResult, judge_new
from application.handlers.dr_event.preemption import preempted
from application.handlers.dr_event.settlement_check import settlement_reasons
from domain.dr_event import DREvent, Notice, Reason
from domain.facility import Facility
from domain.identifiers import dr_event_id


def judge_notification(command: JudgeNotification, context: DecisionContext) -> Decision:
    """Accept and reserve the facilities, or reject, in one transaction. Races between DR events are resolved
    on the facilities' streams."""
    notice = command.notice
    dr_event = context.find_dr_event(dr_event_id(command.utility_id, command.utility_event_id))
    if dr_event is not None and (known := _earlier_judgement(dr_event, notice)) is not None:
        return Decision(reply=known)
    dr_event = dr_event or DREvent.open(
        context.provenance,
        utility_id=command.utility_id,
        utility_event_id=command.utility_event_id,
    )
    program = context.program(notice.program_id)
    terms = None if program is None else program.state.terms
    if program is None or terms is None or program.state.utility_id != command.utility_id:
        unknown = Reason(code="unknown_program", detail=f"no program {notice.program_id!r} of this utility")
        return _rejected(dr_event, notice, (unknown,), context)
    existing = context.facilities(notice.facility_ids)
    facilities = facilities_of_utility(existing, command.utility_id, notice.program_id, context)
    judged = judge_new(dr_event, notice, terms, facilities, context)
    if reasons := judged.reasons + settlement_reasons(dr_event, command, judged.notice, terms.settlement):
        return _rejected(dr_event, notice, reasons, context)
    losers = [preempted(*losing, facilities, dr_event, context) for losing in judged.losing.items()]
    _accept(command, dr_event, judged, facilities, context, program_version=program.state.version)
    # The losers first: their buildings are released before the winner's commands reach them.
    return Decision(*losers, dr_event, *facilities.values(), reply=_judgement(dr_event, "accepted"))


def _accept(
    command: JudgeNotification,
    dr_event: DREvent,
    judged: FeasibilityResult,
    facilities: Mapping[str, Facility],
    context: DecisionContext,
    *,
    program_version: int,
) -> None:
    """Accept, and reserve the facilities in the same transaction."""
    notice = judged.notice
    dr_event.accept(
        context.provenance,
        notice=notice,
        program_version=program_version,
        capacity_kw=judged.capacity_kw,
        capacity_source=judged.capacity_source,
        shortfall_kw=judged.shortfall_kw,
        capacity_degraded_kw=judged.capacity_degraded_kw,
        start_offset_s=judged.start_offset_s,
        blocked_facilities=judged.blocked_facilities,
        at_risk_facilities=judged.at_risk_facilities,
        kind=command.kind,
        prices=command.prices,
    )
    for facility in facilities.values():
        facility.reserve(context.provenance, judged.reservation)


def _rejected(
    dr_event: DREvent, notice: Notice, reasons: tuple[Reason, ...], context: DecisionContext
) -> Decision:
    dr_event.reject(context.provenance, notice=notice, reasons=reasons)
    state = dr_event.state
    reply = Judgement(
        dr_event_id=dr_event.id,
        status="rejected",
        reasons=state.reasons,
        reason_counts=state.reason_counts,
    )
    return Decision(dr_event, reply=reply)


def _earlier_judgement(dr_event: DREvent, notice: Notice) -> Judgement | None:
    """The reply where nothing is to be judged: the DR event was accepted before, or is cancelled."""
    state = dr_event.state
    number = state.withdrawn_number
    if number is not None and (state.withdrawn_for_good or notice.modification_number <= number):
        detail = f"cancelled with modification number {number}; only a higher one is judged"
        if state.withdrawn_for_good:
            detail = "cancelled without a modification number; ask for it under another event id"
        cancelled = Reason(code="cancelled", detail=detail)
        return Judgement(dr_event_id=dr_event.id, status="cancelled", reasons=(cancelled,))
    if state.status in {"opened", "rejected"} or state.withdrawn_number is not None:
        return None
    return _judgement(dr_event, "already_known")


def _judgement(dr_event: DREvent, status: str) -> Judgement:
    state = dr_event.state
    notice = state.notice
    return Judgement(
        dr_event_id=dr_event.id,
        status="accepted" if status == "accepted" else "already_known",
        capacity_kw=state.capacity_kw,
        capacity_source=state.capacity_source,
        shortfall_kw=state.shortfall_kw,
        capacity_degraded_kw=state.capacity_degraded_kw,
        blocked_facilities=state.blocked_facilities,
        at_risk_facilities=state.at_risk_facilities,
        starts_at=None if notice is None else notice.starts_at,
        ends_at=None if notice is None else notice.ends_at,
    )
