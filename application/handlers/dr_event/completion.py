"""Completion of a DR event: count the batch once every building is released, and sum the energy once all are
measured."""

from collections import Counter
from collections.abc import Callable, Mapping
from math import fsum

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import CompleteDREvent, MeasureDREvent
from application.handlers.dr_event.release import affected_facilities
from application.measurement.delivered_over_window import delivered_over_window
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import Batch, DREvent
from domain.facility import Facility

_NOT_SERVED = frozenset({"opted_out", "preempted", "left_out", "batch_aborted"})
"""All causes but `cancelled`, where the utility itself ended the event. A facility dropped by a modification
is no longer requested."""


def complete_dr_event(command: CompleteDREvent, context: DecisionContext) -> Decision:
    """Close the DR event once every dispatch is final, and release the facilities in the same transaction."""
    dr_event = context.dr_event(command.dr_event_id)
    status = dr_event.state.status
    if status not in {"recovering", "cancelled_while_active"} or dr_event.state.batch is not None:
        return Decision()
    dispatches = _all_that(dr_event, context, are=lambda dispatch: dispatch.is_final)
    if dispatches is None:
        return Decision()
    facilities = context.facilities(affected_facilities(dr_event))
    if not _failed_restores_are_excluded(dr_event, dispatches, facilities):
        return Decision()
    opted_out = _opted_out(dr_event, dispatches, facilities)
    failed = _failed(dr_event, dispatches, opted_out)
    batch = _batch(dr_event, dispatches, failed, opted_out)
    close = dr_event.complete if status == "recovering" else dr_event.wind_up
    close(context.provenance, batch=batch, failed_facilities=failed, opted_out_facilities=opted_out)
    curtailed = {d.state.facility_id for d in dispatches if d.state.may_have_curtailed}
    for facility_id, facility in facilities.items():
        served = facility_id in curtailed
        facility.release(context.provenance, dr_event_id=dr_event.id, served=served)
    return Decision(dr_event, *facilities.values())


def measure_dr_event(command: MeasureDREvent, context: DecisionContext) -> Decision:
    """Sum the dispatches that ran, once all of them are measured, and again after each remeasurement."""
    dr_event = context.dr_event(command.dr_event_id)
    state = dr_event.state
    over = state.status in {"completed", "cancelled_while_active"} and state.batch is not None
    if not over:
        return Decision()
    dispatches = _all_that(dr_event, context, are=lambda d: d.measured or not d.was_committed)
    if dispatches is None:
        return Decision()
    ran = [dispatch.state for dispatch in dispatches if dispatch.state.was_committed]
    known = [dispatch for dispatch in ran if dispatch.delivered_kw is not None]
    unmeasured = {d.facility_id: d.not_measurable_reason or "" for d in ran if d.delivered_kw is None}
    # Where no building was curtailed, nothing was delivered: that is known.
    is_known = bool(known) or not ran
    state_it = dr_event.measure if state.settlement_status == "none" else dr_event.remeasure
    state_it(
        context.provenance,
        delivered_kw=fsum(delivered_over_window(state, one, one.delivered_kw or 0.0) for one in known)
        if is_known
        else None,
        measured_facilities=len(known),
        unmeasured_facilities=tuple(sorted(unmeasured)),
        unmeasured_reasons=Counter(filter(None, unmeasured.values())),
    )
    return Decision(dr_event)


def _all_that(
    dr_event: DREvent, context: DecisionContext, *, are: Callable[[DispatchState], bool]
) -> list[Dispatch] | None:
    """Every dispatch in the order of the plan, or None if one of them does not satisfy `are`.

    This runs again for each dispatch that ends. The last one is checked first, then growing groups: buildings
    are released in the order of the plan, so a dispatch that is not over is usually found at the first check.
    """
    order = dr_event.state.dispatched
    found: dict[str, Dispatch] = {}
    at_once = 1
    while len(found) < len(order):
        until = len(order) - len(found)
        looked_at = context.dispatches(dr_event.id, order[max(0, until - at_once) : until])
        if not all(are(dispatch.state) for dispatch in looked_at.values()):
            return None
        found |= looked_at
        at_once *= 8
    return [found[facility_id] for facility_id in order]


def _failed_restores_are_excluded(
    dr_event: DREvent, dispatches: list[Dispatch], facilities: Mapping[str, Facility]
) -> bool:
    """True if each facility whose restore failed is excluded from other DR events, before it is released."""
    failing = [d.state.facility_id for d in dispatches if d.state.status == "restore_failed"]
    return all(
        str(dr_event.id) in facilities[facility_id].state.not_restored_from
        for facility_id in failing
        if facility_id in facilities
    )


def _batch(
    dr_event: DREvent, dispatches: list[Dispatch], failed: tuple[str, ...], opted_out: tuple[str, ...]
) -> Batch:
    requested = dr_event.state.judged_notice.facility_ids
    states = [dispatch.state for dispatch in dispatches if dispatch.state.facility_id in requested]
    return Batch(
        asked=len(requested),
        prepared=sum(state.was_prepared for state in states),
        committed=sum(state.was_committed for state in states),
        failed=len(failed),
        restored=sum(state.status == "restored" for state in states),
        opted_out=len(opted_out),
    )


def _opted_out(
    dr_event: DREvent, dispatches: list[Dispatch], facilities: Mapping[str, Facility]
) -> tuple[str, ...]:
    """Facilities that opted out: by their dispatch, or, without one, by the facility's own state."""
    left = {d.state.facility_id: d.state.left for d in dispatches}
    out = []
    for facility_id in dr_event.state.judged_notice.facility_ids:
        if facility_id in left:
            said_so = left[facility_id] == "opted_out"
        else:
            facility = facilities.get(facility_id)
            said_so = facility is not None and facility.state.opted_out_of_this(dr_event.id)
        if said_so:
            out.append(facility_id)
    return tuple(out)


def _failed(dr_event: DREvent, dispatches: list[Dispatch], opted_out: tuple[str, ...]) -> tuple[str, ...]:
    """Requested facilities that did not serve: never planned, never committed, compensated, or preempted."""
    served = {
        d.state.facility_id
        for d in dispatches
        if d.state.was_committed and d.state.failure is None and d.state.left not in _NOT_SERVED
    }
    requested = dr_event.state.judged_notice.facility_ids
    return tuple(facility_id for facility_id in requested if facility_id not in {*served, *opted_out})
