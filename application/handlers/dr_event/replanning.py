"""Handlers that change the plan: after a modification, a drop-out or a return of a facility."""

from collections.abc import Mapping

import msgspec
from msgspec.structs import asdict

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import (
    FitPlanToForecast,
    PlanDREvent,
    ReallocateShortfall,
    ReplanDREvent,
)
from application.handlers.dr_event.feasibility_check import terms_of
from application.handlers.dr_event.guardrail import blocked_by_forecast
from application.handlers.dr_event.plan_building import (
    COMMAND_EXPIRY,
    MIN_SHARE_KW,
    ShareBasis,
    basis_of_forecast,
    basis_of_plan,
    new_dispatch,
    offer_in_force,
    offer_of,
    preparation_start,
    target_of,
    usable_zones,
    zone_plans,
)
from application.handlers.dr_event.planning import plan_dr_event
from domain.allocation.allocate import Allocation, FacilityOffer, FacilityShare, allocate, reallocate
from domain.dispatch import Dispatch
from domain.dispatch.amendment import can_be_amended, can_rejoin, is_curtailing
from domain.dr_event import PLANNED, DREvent, ReplanCause
from domain.facility import Facility, Zone
from domain.program import Terms


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A facility that the new plan may use, if its forecast lets it."""

    facility: Facility
    dispatch: Dispatch | None
    basis: ShareBasis
    zones: list[Zone]


class Participant(Candidate, frozen=True, kw_only=True):
    """A facility that the new plan may use."""

    offer: FacilityOffer


BATCH_ENDED = "a facility fell out, and the program ends the batch then"


def replan_dr_event(command: ReplanDREvent, context: DecisionContext) -> Decision:
    """Replan after a modification or a return. A DR event without a plan is planned; an unmodified one keeps
    its plan."""
    dr_event = context.dr_event(command.dr_event_id)
    state = dr_event.state
    if state.status == "accepted":
        return plan_dr_event(PlanDREvent(dr_event_id=dr_event.id), context)
    if state.status not in PLANNED or (command.cause == "modified" and not state.plan_outdated):
        return Decision()
    return _replanned(dr_event, command.cause, context)


def reallocate_shortfall(command: ReallocateShortfall, context: DecisionContext) -> Decision:
    """Apply the program's shortfall policy: continue, reallocate the share, or end the whole batch."""
    dr_event = context.dr_event(command.dr_event_id)
    if dr_event.state.status not in PLANNED:
        return Decision()
    policy = terms_of(dr_event, context).shortfall_policy
    if policy == "abort":
        order = _last_committed_first(dr_event, context)
        dr_event.abort_batch(context.provenance, facility_ids=order, reason=BATCH_ENDED)
        return Decision(dr_event)
    if policy == "reallocate" and not dr_event.state.plan_outdated:
        return _replanned(dr_event, "shortfall", context)
    return Decision()


def fit_plan_to_forecast(command: FitPlanToForecast, context: DecisionContext) -> Decision:
    """Shrink the share of a facility that exceeds its headroom by the forecast in force; the program's policy says
    whether others take the difference over. A share that is covered stays as planned."""
    dr_event = context.dr_event(command.dr_event_id)
    state, facility = dr_event.state, context.facility(command.facility_id)
    planned = next((t for t in state.targets if t.facility_id == command.facility_id), None)
    if state.status not in PLANNED or state.plan_outdated or planned is None or facility is None:
        return Decision()
    dispatch = context.dispatch(dr_event.id, command.facility_id).state
    offered = offer_in_force(dr_event, facility, dispatch, context)
    if offered is None or offered.offer.headroom_kw >= planned.target_kw - MIN_SHARE_KW:
        return Decision()
    return _replanned(dr_event, "shortfall", context, judged_again=command.facility_id)


def _last_committed_first(dr_event: DREvent, context: DecisionContext) -> tuple[str, ...]:
    """The order of a batch abort: dispatches that were never committed first, then the last committed first."""
    dispatches = [d.state for d in context.dispatches(dr_event.id, dr_event.state.dispatched).values()]
    committed = [d for d in dispatches if d.committed_at is not None]
    others = [d.facility_id for d in dispatches if d.committed_at is None]
    committed.sort(key=lambda d: (d.committed_at is None, d.committed_at, d.facility_id), reverse=True)
    return (*others, *(d.facility_id for d in committed))


def _replanned(
    dr_event: DREvent, cause: ReplanCause, context: DecisionContext, *, judged_again: str | None = None
) -> Decision:
    """The DR event with another plan. A shortfall is shared by the recorded headroom, that of `judged_again` apart."""
    notice, terms = dr_event.state.judged_notice, terms_of(dr_event, context)
    dispatches = context.dispatches(dr_event.id, dr_event.state.dispatched)
    taking_part = _participants(dr_event, cause, dispatches, terms, context, judged_again=judged_again)
    allocation = _allocation(dr_event, cause, taking_part, terms)
    shares = {s.facility_id: s for s in allocation.shares if s.target_kw >= MIN_SHARE_KW}
    if cause != "modified" and not _changes(shares, taking_part):
        return Decision()
    dr_event.replan(
        context.provenance,
        prepare_at=preparation_start(notice, terms, context.now),
        targets=tuple(target_of(share, taking_part[i].basis) for i, share in shares.items()),
        missing_kw=allocation.missing_kw,
        cause=cause,
    )
    changed = [_carried_over(dr_event, share, taking_part[i], context) for i, share in shares.items()]
    return Decision(dr_event, *(d for d in changed if d), *_left_out(shares, dispatches, cause, context))


def _participants(
    dr_event: DREvent,
    cause: ReplanCause,
    dispatches: Mapping[str, Dispatch],
    terms: Terms,
    context: DecisionContext,
    *,
    judged_again: str | None,
) -> dict[str, Participant]:
    candidates = _candidates(dr_event, cause, dispatches, context, judged_again=judged_again)
    joining = {i: one.basis.data_quality for i, one in candidates.items() if one.dispatch is None}
    blocked = blocked_by_forecast(joining, terms, context)
    found: dict[str, Participant] = {}
    for facility_id, one in candidates.items():
        state = None if one.dispatch is None else one.dispatch.state
        offer = offer_of(one.facility, one.zones, one.basis, state, blocked=facility_id in blocked)
        found[facility_id] = Participant(**asdict(one), offer=offer)
    return found


def _candidates(
    dr_event: DREvent,
    cause: ReplanCause,
    dispatches: Mapping[str, Dispatch],
    context: DecisionContext,
    *,
    judged_again: str | None,
) -> dict[str, Candidate]:
    notice = dr_event.state.judged_notice
    facilities = context.facilities(notice.facility_ids)
    forecasts = context.forecasts.newest_of(notice.facility_ids, at=context.now)
    recorded = {target.facility_id: target for target in dr_event.state.targets}
    found: dict[str, Candidate] = {}
    for facility_id, facility in facilities.items():
        dispatch = dispatches.get(facility_id)
        if not facility.state.serves(dr_event.id) or not _may_serve(dispatch, cause):
            continue
        state = None if dispatch is None else dispatch.state
        zones = usable_zones(facility, notice, state, now=context.now)
        if state is not None and is_curtailing(state) and len(zones) < len(state.zones):
            continue  # one of its zones may not stay curtailed that long
        begins_at = max(notice.starts_at, context.now)
        basis = basis_of_forecast(forecasts.get(facility_id), begins_at, notice.ends_at, now=context.now)
        known = recorded.get(facility_id)
        by_forecast = cause == "modified" or facility_id == judged_again
        if known is not None and (basis is None or not by_forecast):
            basis = basis_of_plan(known)
        if basis is not None:
            found[facility_id] = Candidate(facility=facility, dispatch=dispatch, basis=basis, zones=zones)
    return found


def _may_serve(dispatch: Dispatch | None, cause: ReplanCause) -> bool:
    """A shortfall is shared by the facilities in the plan. Others join by a modification or a return."""
    if dispatch is None:
        return cause != "shortfall"
    return can_be_amended(dispatch.state) or (cause != "shortfall" and can_rejoin(dispatch.state))


def _allocation(
    dr_event: DREvent, cause: ReplanCause, taking_part: Mapping[str, Participant], terms: Terms
) -> Allocation:
    offers = [participant.offer for participant in taking_part.values()]
    target_kw = dr_event.state.judged_notice.target_kw
    if cause != "shortfall":
        return allocate(target_kw, offers)
    shares = tuple(
        FacilityShare(t.facility_id, t.target_kw, t.headroom_kw, (), t.blocked)
        for t in dr_event.state.targets
    )
    plan = Allocation(shares, target_kw, 0.0, 0.0)
    gone = [s.facility_id for s in shares if s.facility_id not in taking_part]
    return reallocate(plan, offers, gone, others_take_over=terms.shortfall_policy == "reallocate")


def _changes(shares: Mapping[str, FacilityShare], taking_part: Mapping[str, Participant]) -> bool:
    """True if the new plan changes anything for any facility."""
    for facility_id, share in shares.items():
        dispatch = taking_part[facility_id].dispatch
        if dispatch is None or can_rejoin(dispatch.state):
            return True
        if abs(dispatch.state.target_kw - share.target_kw) >= MIN_SHARE_KW:
            return True
    return False


def _carried_over(
    dr_event: DREvent, share: FacilityShare, participant: Participant, context: DecisionContext
) -> Dispatch | None:
    """The dispatch with its new share; None where nothing changes for it."""
    notice, dispatch = dr_event.state.judged_notice, participant.dispatch
    active = dr_event.state.status == "active"
    joins_at = max(notice.starts_at, context.now) if active else notice.starts_at
    if dispatch is None:
        facility, basis = participant.facility, participant.basis
        return new_dispatch(dr_event, facility, share, basis, context, starts_at=joins_at)
    state = dispatch.state
    starts_at = max(state.starts_at, notice.starts_at) if active else notice.starts_at
    starts_at = joins_at if can_rejoin(state) else starts_at
    same_window = (state.starts_at, state.ends_at) == (starts_at, notice.ends_at)
    same_share = abs(state.target_kw - share.target_kw) < MIN_SHARE_KW
    if same_window and same_share and not can_rejoin(state):
        return None
    dispatch.amend(
        context.provenance,
        plan_revision=dr_event.state.plan_revision,
        starts_at=starts_at,
        ends_at=notice.ends_at,
        expires_at=notice.ends_at + COMMAND_EXPIRY,
        target_kw=share.target_kw,
        zones=zone_plans(participant.facility, share),
        forecast_id=participant.basis.forecast_id,
        data_quality=participant.basis.data_quality,
        hold=dr_event.state.status in {"preparing", "active"},
    )
    return dispatch


def _left_out(
    shares: Mapping[str, FacilityShare],
    dispatches: Mapping[str, Dispatch],
    cause: ReplanCause,
    context: DecisionContext,
) -> list[Dispatch]:
    """Facilities without a share in a modified plan are released, or restored."""
    gone = [d for i, d in dispatches.items() if i not in shares and cause == "modified"]
    for dispatch in gone:
        dispatch.leave(context.provenance, cause="left_out", reason="the DR event was modified")
    return [dispatch for dispatch in gone if dispatch.pending_events]
