"""Handlers of the commands on DR events: the batch of the saga."""

import json

from application.commands.dr_event import (
    CancelDREvent,
    Cancellation,
    CompleteDREvent,
    EndDREvent,
    MeasureDREvent,
    RecordCallbackDelivered,
    RecordCallbackUndeliverable,
    RequestCallback,
    StartDREvent,
    StartPreparation,
)
from application.deciding import Deciding, Decision
from domain.dispatch import Dispatch
from domain.dr_event import Batch, DREvent
from domain.facility import Facility
from domain.identifiers import callback_id


def start_preparation(command: StartPreparation, deciding: Deciding) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.start_preparation(deciding.provenance, now=deciding.now)
    return Decision(dr_event)


def start_dr_event(command: StartDREvent, deciding: Deciding) -> Decision:
    """Start the window; a DR event without a plan is given up, and its facilities released."""
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.start_preparation(deciding.provenance, now=deciding.now)
    dr_event.start(deciding.provenance, now=deciding.now)
    dr_event.give_up_planning(deciding.provenance, now=deciding.now)
    if dr_event.state.status == "completed":
        return Decision(dr_event, *_released(dr_event, deciding, served=False))
    return Decision(dr_event)


def end_dr_event(command: EndDREvent, deciding: Deciding) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.end(deciding.provenance, now=deciding.now)
    return Decision(dr_event)


def complete_dr_event(command: CompleteDREvent, deciding: Deciding) -> Decision:
    """Complete once every dispatch is final, and release the facilities in the same transaction."""
    dr_event = deciding.dr_event(command.dr_event_id)
    if dr_event.state.status != "recovering":
        return Decision()
    dispatches = []
    for target in dr_event.state.targets:
        dispatch = deciding.dispatch(dr_event.id, target.facility_id)
        if not dispatch.state.is_final:
            return Decision()
        dispatches.append(dispatch)
    dr_event.complete(
        deciding.provenance,
        batch=_batch(dr_event, dispatches),
        failed_facilities=_failed(dr_event, dispatches),
    )
    return Decision(dr_event, *_released(dr_event, deciding, served=True))


def measure_dr_event(command: MeasureDREvent, deciding: Deciding) -> Decision:
    """Add up the dispatches that ran, once all of them are measured."""
    dr_event = deciding.dr_event(command.dr_event_id)
    if dr_event.state.status != "completed" or dr_event.state.settlement_status != "none":
        return Decision()
    ran = [deciding.dispatch(dr_event.id, target.facility_id) for target in dr_event.state.targets]
    ran = [dispatch for dispatch in ran if dispatch.state.was_committed]
    if any(not dispatch.state.measured for dispatch in ran):
        return Decision()
    delivered = {d.state.facility_id: d.state.delivered_kw for d in ran}
    known = [kw for kw in delivered.values() if kw is not None]
    dr_event.measure(
        deciding.provenance,
        delivered_kw=sum(known),
        measured_facilities=len(known),
        unmeasured_facilities=tuple(sorted(i for i, kw in delivered.items() if kw is None)),
    )
    return Decision(dr_event)


def cancel_dr_event(command: CancelDREvent, deciding: Deciding) -> Decision:
    """Cancel before the start, and release the facilities in the same transaction."""
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.cancel(deciding.provenance, reason=command.reason)
    reply = Cancellation(dr_event_id=dr_event.id, status=dr_event.state.status)
    if not dr_event.pending_events:
        return Decision(reply=reply)
    return Decision(dr_event, *_released(dr_event, deciding, served=False), reply=reply)


def request_callback(command: RequestCallback, deciding: Deciding) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.request_callback(
        deciding.provenance, kind=command.kind, body=_callback_body(dr_event, command.kind, deciding)
    )
    return Decision(dr_event)


def record_callback_delivered(command: RecordCallbackDelivered, deciding: Deciding) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.callback_delivered(
        deciding.provenance,
        callback_id=command.callback_id,
        kind=command.kind,
        attempts=command.attempts,
        status_code=command.status_code,
    )
    return Decision(dr_event)


def record_callback_undeliverable(command: RecordCallbackUndeliverable, deciding: Deciding) -> Decision:
    dr_event = deciding.dr_event(command.dr_event_id)
    dr_event.callback_undeliverable(
        deciding.provenance,
        callback_id=command.callback_id,
        kind=command.kind,
        attempts=command.attempts,
        reason=command.reason,
    )
    return Decision(dr_event)


def _released(dr_event: DREvent, deciding: Deciding, *, served: bool) -> list[Facility]:
    notice = dr_event.state.judged_notice
    facilities = [found for i in notice.facility_ids if (found := deciding.facility(i)) is not None]
    for facility in facilities:
        facility.release(deciding.provenance, dr_event_id=dr_event.id, served=served)
    return facilities


def _batch(dr_event: DREvent, dispatches: list[Dispatch]) -> Batch:
    notice = dr_event.state.judged_notice
    states = [dispatch.state for dispatch in dispatches]
    return Batch(
        asked=len(notice.facility_ids),
        prepared=sum(state.was_prepared for state in states),
        committed=sum(state.was_committed for state in states),
        failed=len(_failed(dr_event, dispatches)),
        restored=sum(state.status == "restored" for state in states),
    )


def _failed(dr_event: DREvent, dispatches: list[Dispatch]) -> tuple[str, ...]:
    """Facilities asked that did not serve: never planned, never committed, or not restored."""
    notice = dr_event.state.judged_notice
    served = {d.state.facility_id for d in dispatches if d.state.was_committed and d.state.failure is None}
    return tuple(facility_id for facility_id in notice.facility_ids if facility_id not in served)


def _callback_body(dr_event: DREvent, kind: str, deciding: Deciding) -> str:
    state = dr_event.state
    notice = state.notice
    body = {
        "callback_id": str(callback_id(dr_event.id, kind, dr_event.version)),
        "kind": kind,
        "dr_event_id": str(dr_event.id),
        "event_id": state.utility_event_id,
        "modification_number": notice.modification_number if notice else 0,
        "status": state.status,
        "outcome": state.outcome,
        "settlement_status": state.settlement_status,
        "target_kw": notice.target_kw if notice else None,
        "capacity_kw": state.capacity_kw,
        "shortfall_kw": state.shortfall_kw,
        "delivered_kw": state.delivered_kw,
        "facilities": None if state.batch is None else _counts(state.batch),
        "reasons": [
            {"code": r.code, "detail": r.detail, "facility_id": r.facility_id} for r in state.reasons
        ],
        "occurred_at": deciding.now.isoformat().replace("+00:00", "Z"),
    }
    return json.dumps(body, separators=(",", ":"))


def _counts(batch: Batch) -> dict[str, int]:
    return {
        "asked": batch.asked,
        "prepared": batch.prepared,
        "committed": batch.committed,
        "failed": batch.failed,
        "restored": batch.restored,
    }
