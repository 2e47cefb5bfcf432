"""The decision at the door: a utility's notification is accepted, or rejected with every reason."""

from collections.abc import Iterable, Mapping

from application.commands.dr_event import Judgement, JudgeNotification
from application.deciding import Deciding, Decision
from application.facility_facts import facts_of
from domain.dr_event import DREvent, Notice, Reason
from domain.facility import Facility
from domain.feasibility import DREventRequest, FacilityFacts, Feasibility, ProgramTerms, Refusal, judge
from domain.identifiers import dr_event_id
from domain.program import Terms


def judge_notification(command: JudgeNotification, deciding: Deciding) -> Decision:
    """Accept and reserve the facilities, or reject: one transaction; races are decided on the facilities."""
    notice = command.notice
    dr_event = deciding.find_dr_event(dr_event_id(command.utility_id, command.utility_event_id))
    if dr_event is not None and dr_event.state.status not in {"opened", "rejected"}:
        return Decision(reply=_known_already(dr_event))
    dr_event = dr_event or DREvent.open(
        deciding.provenance,
        utility_id=command.utility_id,
        utility_event_id=command.utility_event_id,
    )
    program = deciding.program(notice.program_id)
    terms = None if program is None else program.state.terms
    if program is None or terms is None or program.state.utility_id != command.utility_id:
        unknown = Reason(code="unknown_program", detail=f"no program {notice.program_id!r} of this utility")
        return _rejected(dr_event, notice, (unknown,), deciding)
    facilities = _requested(notice, deciding)
    facts = facts_of(dr_event.id, notice, facilities, deciding)
    feasibility = _feasibility(dr_event, notice, terms, facts, deciding)
    if not feasibility.feasible:
        return _rejected(dr_event, notice, _reasons(feasibility.reasons), deciding)
    forecast = all(fact.capacity_source == "forecast" for fact in facts.values())
    dr_event.accept(
        deciding.provenance,
        notice=notice,
        program_version=program.state.version,
        capacity_kw=feasibility.capacity_kw,
        capacity_source="forecast" if forecast else "declared",
        shortfall_kw=feasibility.shortfall_kw,
    )
    return _accepted(dr_event, facilities, deciding)


def _requested(notice: Notice, deciding: Deciding) -> dict[str, Facility]:
    found = {facility_id: deciding.facility(facility_id) for facility_id in notice.facility_ids}
    return {facility_id: facility for facility_id, facility in found.items() if facility is not None}


def _feasibility(
    dr_event: DREvent,
    notice: Notice,
    terms: Terms,
    facts: Mapping[str, FacilityFacts],
    deciding: Deciding,
) -> Feasibility:
    return judge(
        DREventRequest(
            dr_event_id=dr_event.id,
            starts_at=notice.starts_at,
            ends_at=notice.ends_at,
            target_kw=notice.target_kw,
            facility_ids=notice.facility_ids,
        ),
        now=deciding.now,
        program=ProgramTerms(
            notification_lead_s=terms.notification_lead_s,
            minimum_duration_s=terms.minimum_duration_s,
            maximum_duration_s=terms.maximum_duration_s,
            acceptable_share=terms.acceptable_share,
            prepare_lead_s=terms.prepare_lead_s,
        ),
        facilities=facts,
    )


def _accepted(dr_event: DREvent, facilities: Mapping[str, Facility], deciding: Deciding) -> Decision:
    """The facilities are reserved in the transaction of the acceptance."""
    state = dr_event.state
    notice = state.judged_notice
    for facility in facilities.values():
        facility.reserve(
            deciding.provenance,
            dr_event_id=dr_event.id,
            starts_at=notice.starts_at,
            ends_at=notice.ends_at,
        )
    reply = Judgement(
        dr_event_id=dr_event.id,
        status="accepted",
        capacity_kw=state.capacity_kw,
        capacity_source=state.capacity_source,
        shortfall_kw=state.shortfall_kw,
    )
    return Decision(dr_event, *facilities.values(), reply=reply)


def _rejected(dr_event: DREvent, notice: Notice, reasons: tuple[Reason, ...], deciding: Deciding) -> Decision:
    dr_event.reject(deciding.provenance, notice=notice, reasons=reasons)
    reply = Judgement(dr_event_id=dr_event.id, status="rejected", reasons=reasons)
    return Decision(dr_event, reply=reply)


def _known_already(dr_event: DREvent) -> Judgement:
    state = dr_event.state
    return Judgement(
        dr_event_id=dr_event.id,
        status="already_known",
        capacity_kw=state.capacity_kw,
        capacity_source=state.capacity_source,
        shortfall_kw=state.shortfall_kw,
    )


def _reasons(refusals: Iterable[Refusal]) -> tuple[Reason, ...]:
    return tuple(
        Reason(code=refusal.code, detail=refusal.detail, facility_id=refusal.facility_id)
        for refusal in refusals
    )
