"""The end of a DR event: the batch is counted once every building is let go, and added up once all are measured."""

from collections.abc import Mapping
from math import fsum

from application.commands.dr_event import CompleteDREvent, MeasureDREvent
from application.deciding import Deciding, Decision
from application.handlers.releasing import concerned_facilities
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import Batch, DREvent
from domain.facility import Facility

_NOT_SERVED = frozenset({"opted_out", "preempted", "left_out", "batch_aborted"})
"""All but `cancelled`: the utility itself ended that one. Who was dropped by a modification is not asked any more."""


def complete_dr_event(command: CompleteDREvent, deciding: Deciding) -> Decision:
    """Close it once every dispatch is final, and release the facilities in the same transaction."""
    dr_event = deciding.dr_event(command.dr_event_id)
    status = dr_event.state.status
    if status not in {"recovering", "cancelled_while_active"} or dr_event.state.batch is not None:
        return Decision()
    dispatches = []
    for facility_id in dr_event.state.dispatched:
        dispatch = deciding.dispatch(dr_event.id, facility_id)
        if not dispatch.state.is_final:
            return Decision()
        dispatches.append(dispatch)
    facilities = deciding.facilities(concerned_facilities(dr_event))
    opted_out = _opted_out(dr_event, dispatches, facilities)
    failed = _failed(dr_event, dispatches, opted_out)
    batch = _batch(dr_event, dispatches, failed, opted_out)
    close = dr_event.complete if status == "recovering" else dr_event.wind_up
    close(deciding.provenance, batch=batch, failed_facilities=failed, opted_out_facilities=opted_out)
    for facility in facilities.values():
        facility.release(deciding.provenance, dr_event_id=dr_event.id, served=True)
    return Decision(dr_event, *facilities.values())


def measure_dr_event(command: MeasureDREvent, deciding: Deciding) -> Decision:
    """Add up the dispatches that ran, once all of them are measured."""
    dr_event = deciding.dr_event(command.dr_event_id)
    state = dr_event.state
    over = state.status in {"completed", "cancelled_while_active"} and state.batch is not None
    if not over or state.settlement_status != "none":
        return Decision()
    ran = [deciding.dispatch(dr_event.id, facility_id).state for facility_id in state.dispatched]
    ran = [dispatch for dispatch in ran if dispatch.was_committed]
    if any(not dispatch.measured for dispatch in ran):
        return Decision()
    known = [dispatch for dispatch in ran if dispatch.delivered_kw is not None]
    dr_event.measure(
        deciding.provenance,
        delivered_kw=fsum(_delivered_kw(dr_event, dispatch) for dispatch in known),
        measured_facilities=len(known),
        unmeasured_facilities=tuple(sorted(d.facility_id for d in ran if d.delivered_kw is None)),
    )
    return Decision(dr_event)


def _delivered_kw(dr_event: DREvent, dispatch: DispatchState) -> float:
    """Mean over the DR event's window: a facility that left early delivered for a part of it only."""
    notice = dr_event.state.judged_notice
    ends_at = min(notice.ends_at, dr_event.state.released_at or notice.ends_at)
    whole_s = (ends_at - notice.starts_at).total_seconds()
    own_s = (min(dispatch.ends_at, ends_at) - dispatch.starts_at).total_seconds()
    share = 1.0 if whole_s <= 0 else max(0.0, min(1.0, own_s / whole_s))
    return (dispatch.delivered_kw or 0.0) * share


def _batch(
    dr_event: DREvent, dispatches: list[Dispatch], failed: tuple[str, ...], opted_out: tuple[str, ...]
) -> Batch:
    asked = dr_event.state.judged_notice.facility_ids
    states = [dispatch.state for dispatch in dispatches if dispatch.state.facility_id in asked]
    return Batch(
        asked=len(asked),
        prepared=sum(state.was_prepared for state in states),
        committed=sum(state.was_committed for state in states),
        failed=len(failed),
        restored=sum(state.status == "restored" for state in states),
        opted_out=len(opted_out),
    )


def _opted_out(
    dr_event: DREvent, dispatches: list[Dispatch], facilities: Mapping[str, Facility]
) -> tuple[str, ...]:
    """By its dispatch, or, where it never had one, by what the facility itself said."""
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
    """Facilities asked that did not serve: never planned, never committed, undone, or taken by another."""
    served = {
        d.state.facility_id
        for d in dispatches
        if d.state.was_committed and d.state.failure is None and d.state.left not in _NOT_SERVED
    }
    asked = dr_event.state.judged_notice.facility_ids
    return tuple(facility_id for facility_id in asked if facility_id not in {*served, *opted_out})
