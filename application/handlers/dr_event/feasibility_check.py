"""The check of a notice, for a new or a changed DR event: window in force, facts, and the DR events that
yield."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application.command_bus.decision_context import DecisionContext
from application.handlers.dr_event.facility_facts import facts_of
from application.handlers.dr_event.guardrail import blocked_by_forecast
from application.handlers.dr_event.plan_building import preparation_start
from application.handlers.dr_event.preemption import yielding_to
from domain.dr_event import DREvent, Notice, Reason
from domain.dr_event.feasibility import (
    DREventRequest,
    FacilityFacts,
    ProgramTerms,
    Refusal,
    assess_feasibility,
)
from domain.dr_event.window import remaining_window, with_effective_start, with_offset
from domain.facility import Facility, Reservation
from domain.forecast import SHORTEST_HORIZON
from domain.program import Terms


class FeasibilityResult(msgspec.Struct, frozen=True, kw_only=True):
    """A notice with its window in force, and its judgement."""

    notice: Notice
    reservation: Reservation
    """Of each facility."""
    start_offset_s: int | None
    reasons: tuple[Reason, ...]
    """Against it; without one it can be accepted."""
    capacity_kw: float
    capacity_degraded_kw: float
    shortfall_kw: float
    capacity_source: str
    losing: dict[UUID, tuple[str, ...]]
    """Weaker DR event -> the facilities that it loses if this one is accepted."""
    blocked_facilities: int
    """How many forecasts block under the program's guardrail now."""
    at_risk_facilities: int
    """How many others have a degraded forecast, or none though forecasts reach the window."""


def terms_of(dr_event: DREvent, context: DecisionContext) -> Terms:
    """The version of the program that the DR event was accepted under."""
    notice = dr_event.state.judged_notice
    program = context.program(notice.program_id)
    terms = None if program is None else program.state.versions.get(dr_event.state.program_version)
    if terms is None:
        raise LookupError(f"program {notice.program_id} of an accepted DR event is not in the log")
    return terms


def judge_new(
    dr_event: DREvent,
    notice: Notice,
    terms: Terms,
    facilities: Mapping[str, Facility],
    context: DecisionContext,
) -> FeasibilityResult:
    """Judge a notice whose start is not fixed yet. A random start is drawn here, once."""
    offset_s = dr_event.state.start_offset_s
    if offset_s is None and notice.randomize_start_s > 0:
        offset_s = context.draw_s(notice.randomize_start_s)
    in_force = notice if offset_s is None else with_offset(notice, offset_s)
    if terms.notification_lead_s == 0:  # a program with a notification lead does not accept a late DR event
        in_force = remaining_window(in_force, now=context.now, minimum_duration_s=terms.minimum_duration_s)
    return _judged(dr_event, in_force, offset_s, terms, facilities, context, start_stands=False)


def judge_changed(
    dr_event: DREvent,
    notice: Notice,
    terms: Terms,
    facilities: Mapping[str, Facility],
    context: DecisionContext,
) -> FeasibilityResult:
    """Judge a changed notice of an accepted DR event. An unchanged start stays in force, however near it is."""
    state, unchangeable = dr_event.state, _reasons(_unchangeable(dr_event, notice))
    # Judged under its own program: another one may belong to another utility.
    notice = replace(notice, program_id=state.judged_notice.program_id)
    if notice.notified_starts_at == state.judged_notice.notified_starts_at:
        in_force = with_effective_start(notice, state.judged_notice, state.start_offset_s)
        offset_s = state.start_offset_s
        judged = _judged(dr_event, in_force, offset_s, terms, facilities, context, start_stands=True)
    else:
        judged = judge_new(dr_event, notice, terms, facilities, context)
    return replace(judged, reasons=unchangeable + judged.reasons)


def _unchangeable(dr_event: DREvent, notice: Notice) -> Iterator[Refusal]:
    in_force = dr_event.state.judged_notice
    if notice.program_id != in_force.program_id:
        yield Refusal("program_changed", f"was accepted under {in_force.program_id}; cancel it and post anew")
    if dr_event.state.status == "active" and notice.notified_starts_at != in_force.notified_starts_at:
        began = in_force.starts_at.isoformat()
        yield Refusal("already_started", f"the window began at {began}; only its end can move")


def _judged(  # noqa: PLR0917 - the subject, then the facts
    dr_event: DREvent,
    notice: Notice,
    offset_s: int | None,
    terms: Terms,
    facilities: Mapping[str, Facility],
    context: DecisionContext,
    *,
    start_stands: bool,
) -> FeasibilityResult:
    prepared_from = min(preparation_start(notice, terms, context.now), notice.starts_at)
    reservation = Reservation(
        dr_event_id=dr_event.id,
        prepared_from=prepared_from,
        starts_at=notice.starts_at,
        ends_at=notice.ends_at,
    )
    known = facts_of(
        dr_event, notice, terms, facilities, context, start_stands=start_stands, wanted=reservation
    )
    facts, losing = yielding_to(dr_event, notice, terms, known, context)
    in_reach = notice.ends_at - context.now <= SHORTEST_HORIZON
    blocked, at_risk = _readiness(facts.values(), terms, context, in_reach=in_reach)
    feasibility = assess_feasibility(
        _request(dr_event, notice, start_stands=start_stands),
        now=context.now,
        program=_program_terms(terms, context.maximum_lead_s),
        facilities=facts,
    )
    return FeasibilityResult(
        notice=notice,
        reservation=reservation,
        start_offset_s=offset_s,
        reasons=_reasons(feasibility.reasons),
        capacity_kw=feasibility.capacity_kw,
        capacity_degraded_kw=feasibility.capacity_degraded_kw,
        shortfall_kw=feasibility.shortfall_kw,
        capacity_source=_source(facts.values()),
        losing=losing,
        blocked_facilities=blocked,
        at_risk_facilities=at_risk,
    )


def _reasons(refusals: Iterable[Refusal]) -> tuple[Reason, ...]:
    return tuple(
        Reason(code=refusal.code, detail=refusal.detail, facility_id=refusal.facility_id)
        for refusal in refusals
    )


def _request(dr_event: DREvent, notice: Notice, *, start_stands: bool) -> DREventRequest:
    return DREventRequest(
        dr_event_id=dr_event.id,
        starts_at=notice.starts_at,
        ends_at=notice.ends_at,
        target_kw=notice.target_kw,
        facility_ids=notice.facility_ids,
        start_stands=start_stands,
    )


def _program_terms(terms: Terms, maximum_lead_s: float) -> ProgramTerms:
    if terms.maximum_lead_s is not None:
        maximum_lead_s = min(maximum_lead_s, float(terms.maximum_lead_s))
    return ProgramTerms(
        notification_lead_s=terms.notification_lead_s,
        minimum_duration_s=terms.minimum_duration_s,
        maximum_duration_s=terms.maximum_duration_s,
        acceptable_share=terms.acceptable_share,
        maximum_lead_s=maximum_lead_s,
        prepare_lead_s=terms.prepare_lead_s,
    )


def _readiness(
    facts: Collection[FacilityFacts], terms: Terms, context: DecisionContext, *, in_reach: bool
) -> tuple[int, int]:
    """How many facilities their forecasts block, and how many are at risk without that."""
    qualities = {fact.facility_id: fact.data_quality for fact in facts if fact.data_quality is not None}
    blocked = blocked_by_forecast(qualities, terms, context)
    at_risk = sum(quality != "full" and one not in blocked for one, quality in qualities.items())
    return len(blocked), at_risk + in_reach * (len(facts) - len(qualities))


def _source(facts: Iterable[FacilityFacts]) -> str:
    return "forecast" if all(fact.capacity_source == "forecast" for fact in facts) else "declared"
