"""Handler for planning: the target is allocated over the facilities within the headroom of their forecasts."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import PlanDREvent
from application.handlers.dr_event.feasibility_check import terms_of
from application.handlers.dr_event.guardrail import blocked_by_forecast
from application.handlers.dr_event.plan_building import (
    MIN_SHARE_KW,
    basis_of_forecast,
    new_dispatch,
    offer_of,
    preparation_start,
    target_of,
    usable_zones,
)
from domain.allocation.allocate import allocate
from domain.dispatch import Dispatch
from domain.dr_event import DREvent, Reason
from domain.facility import Facility, FacilityState
from domain.forecast import SHORTEST_HORIZON

RETRY = timedelta(seconds=60)
"""The pause after a refused plan until the next try, once forecasts can reach the window."""


def plan_dr_event(command: PlanDREvent, context: DecisionContext) -> Decision:
    """Schedule the DR event with its dispatches, or refuse the plan when no facility has a usable forecast."""
    dr_event = context.dr_event(command.dr_event_id)
    retry_at = dr_event.state.plan_retry_at
    if dr_event.state.status != "accepted" or (retry_at and context.now < retry_at):
        return Decision()
    dispatches = plan_and_schedule(dr_event, context)
    return Decision(dr_event, *dispatches)


def plan_and_schedule(dr_event: DREvent, context: DecisionContext) -> list[Dispatch]:
    """Schedule an accepted DR event. Returns its dispatches; none where the plan was refused."""
    notice = dr_event.state.judged_notice
    terms = terms_of(dr_event, context)
    facilities = context.facilities(notice.facility_ids)
    forecasts = context.forecasts.newest_of(notice.facility_ids, at=context.now)
    bases = {
        facility_id: basis_of_forecast(
            forecasts.get(facility_id), notice.starts_at, notice.ends_at, now=context.now
        )
        for facility_id in notice.facility_ids
    }
    able = {
        i: basis for i, basis in bases.items() if basis is not None and _takes_part(i, facilities, dr_event)
    }
    if not able:
        reasons = tuple(_why_not(i, facilities, dr_event) for i in notice.facility_ids)
        dr_event.refuse_planning(
            context.provenance, reasons=reasons, retry_at=_retry_at(notice.ends_at, context.now)
        )
        return []
    blocked = blocked_by_forecast({i: basis.data_quality for i, basis in able.items()}, terms, context)
    offers = [
        offer_of(
            facilities[i],
            usable_zones(facilities[i], notice, None, now=context.now),
            basis,
            None,
            blocked=i in blocked,
        )
        for i, basis in able.items()
    ]
    allocation = allocate(notice.target_kw, offers)
    shares = [share for share in allocation.shares if share.target_kw >= MIN_SHARE_KW]
    dr_event.schedule(
        context.provenance,
        prepare_at=preparation_start(notice, terms, context.now),
        targets=tuple(target_of(share, able[share.facility_id]) for share in shares),
        missing_kw=allocation.missing_kw,
    )
    return [
        new_dispatch(
            dr_event,
            facilities[share.facility_id],
            share,
            able[share.facility_id],
            context,
            starts_at=notice.starts_at,
        )
        for share in shares
    ]


def _retry_at(ends_at: datetime, now: datetime) -> datetime:
    """When forecasts reach the end of the window; soon, if they should reach it already."""
    return max(now + RETRY, ends_at - SHORTEST_HORIZON)


def _takes_part(facility_id: str, facilities: Mapping[str, Facility], dr_event: DREvent) -> bool:
    facility = facilities.get(facility_id)
    return facility is not None and facility.state.serves(dr_event.id)


def _why_not(facility_id: str, facilities: Mapping[str, Facility], dr_event: DREvent) -> Reason:
    facility = facilities.get(facility_id)
    code, detail = "no_forecast", "no forecast covers the window: its meters or their history are missing"
    if facility is not None:
        code, detail = _taken(facility.state, dr_event) or (code, detail)
    return Reason(code=code, detail=detail, facility_id=facility_id)


def _taken(facility: FacilityState, dr_event: DREvent) -> tuple[str, str] | None:
    """Why it may not serve; of a DR event of another utility nothing but that it is unavailable."""
    utility_id, notice = dr_event.state.utility_id, dr_event.state.judged_notice
    if facility.opted_out_of_this(dr_event.id):
        return "opted_out", "has opted out"
    if str(dr_event.id) not in facility.reservations:
        held = [
            reservation.dr_event_id
            for reservation in facility.reservations.values()
            if reservation.starts_at < notice.ends_at and notice.starts_at < reservation.ends_at
        ]
        if any(facility.is_of(utility_id, dr_event_id) for dr_event_id in held):
            return "preempted", "serves a stronger DR event"
        return "unavailable", "is not available then"
    if facility.awaits_restore_of_other(dr_event.id):
        if any(facility.is_of(utility_id, dr_event_id) for dr_event_id in facility.not_restored_from):
            return "not_restored", "its building is not restored yet from an earlier DR event"
        return "unavailable", "is not available then"
    return None
