"""The body of a callback: the DR event's state, and at the end the result of each facility.

Every list in it is limited in entries and in bytes, so that no utility can make its callbacks grow without a bound.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from application.command_bus.decision_context import DecisionContext
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import Batch, CallbackKind, DREvent, DREventState
from domain.identifiers import callback_id, dispatch_id

MAX_RESULTS, MAX_RESULT_BYTES = 500, 96 * 1024
"""Facilities that did not serve come first; the complete list is at `results_url`."""
MAX_REASONS, MAX_REASON_BYTES = 100, 32 * 1024
"""`reasons_count` counts all of them; the complete list is at `details_url`."""


def callback_body(dr_event: DREvent, kind: CallbackKind, context: DecisionContext) -> str:
    """The JSON document, as it will be signed."""
    state = dr_event.state
    notice = state.notice
    body: dict[str, Any] = {
        "callback_id": str(callback_id(dr_event.id, kind, dr_event.version)),
        "kind": _result_kind(kind, state),
        "dr_event_id": str(dr_event.id),
        "event_id": state.utility_event_id,
        "modification_number": notice.modification_number if notice else 0,
        "status": state.status,
        "outcome": state.outcome,
        "settlement_status": state.settlement_status,
        "target_kw": notice.target_kw if notice else None,
        "starts_at": None if notice is None else _text(notice.starts_at),
        "ends_at": None if notice is None else _text(notice.ends_at),
        "capacity_kw": state.capacity_kw,
        "capacity_degraded_kw": state.capacity_degraded_kw,
        "shortfall_kw": state.shortfall_kw,
        **_readiness(dr_event, kind, context),
        "delivered_kw": state.delivered_kw,
        "measured_facilities": state.measured_facilities if state.measurements else None,
        "unmeasured_facilities": len(state.unmeasured) if state.measurements else None,
        "unmeasured_reasons": state.unmeasured_reasons,
        "measurement_revision": state.measurements or None,
        **_settlement(kind, state),
        "facilities": None if state.batch is None else _counts(state.batch),
        "reasons": (reasons := _reasons(state)),
        "reasons_count": (count := sum(state.reason_counts.values()) or len(state.reasons)),
        "reasons_complete": len(reasons) == count,
        "details_url": f"/api/dr-events/{dr_event.id}",
        "occurred_at": _text(context.now),
    }
    if state.batch is not None:
        results = _results(dr_event, context)
        body["facility_results"] = _first(results, MAX_RESULTS, MAX_RESULT_BYTES)
        body["results_complete"] = len(body["facility_results"]) == len(results)
        body["results_url"] = f"/api/dr-events/{dr_event.id}/dispatches"
    return _json(body)


def _result_kind(kind: CallbackKind, state: DREventState) -> str:
    """As the utility reads it: a measurement whose result is that nothing could be measured says so."""
    return "not_measurable" if kind == "measured" and state.delivered_kw is None else kind


def _settlement(kind: CallbackKind, state: DREventState) -> dict[str, Any]:
    """The settlement in a callback about money: the revision in force."""
    if (settlement := state.settlement) is None or kind not in {"settled", "resettled"}:
        return {}
    figures = settlement.figures
    return {
        "revision": settlement.revision,
        "total": figures.total,
        "currency": figures.currency,
        "not_settled_reasons": list(figures.reasons),
        "program_version": figures.program_version,
        "settlement_digest": figures.digest,
        "settled_at": _text(settlement.settled_at),
        "final_at": None if figures.final_at is None else _text(figures.final_at),
        "settlement_url": f"/api/dr-events/{state.dr_event_id}/settlement",
    }


def _readiness(dr_event: DREvent, kind: CallbackKind, context: DecisionContext) -> dict[str, int | None]:
    """How many facilities are blocked and at risk: as judged with the notice, at the start by their dispatches."""
    state = dr_event.state
    blocked, at_risk = state.blocked_facilities, state.at_risk_facilities
    if kind == "started":
        dispatches = [d.state for d in context.dispatches(dr_event.id, state.dispatched).values()]
        blocked = sum(d.remains_blocked for d in dispatches)
        at_risk = sum(d.is_at_risk for d in dispatches)
    elif kind not in {"accepted", "modified"}:
        blocked = at_risk = None
    return {"blocked_facilities": blocked, "at_risk_facilities": at_risk}


def _reasons(state: DREventState) -> list[dict[str, Any]]:
    reasons = [
        {"code": reason.code, "detail": reason.detail, "facility_id": reason.facility_id}
        for reason in state.reasons
    ]
    return _first(reasons, MAX_REASONS, MAX_REASON_BYTES)


def _first(entries: Sequence[dict[str, Any]], most: int, most_bytes: int) -> list[dict[str, Any]]:
    """The first `most` of `entries` whose JSON text takes at most `most_bytes` together."""
    first: list[dict[str, Any]] = []
    for entry in entries[:most]:
        most_bytes -= len(_json(entry)) + len(",")
        if most_bytes < 0:
            break
        first.append(entry)
    return first


def _json(document: dict[str, Any]) -> str:
    """ASCII: its length is its size in bytes."""
    return json.dumps(document, separators=(",", ":"))


def _results(dr_event: DREvent, context: DecisionContext) -> list[dict[str, Any]]:
    """Every requested facility, once: those that failed, those that opted out, those that served."""
    state = dr_event.state
    streams = {dispatch_id(dr_event.id, i): i for i in state.judged_notice.facility_ids}
    loaded = context.store.load_many(Dispatch, list(streams))
    results = [
        _result(facility_id, state, None if (found := loaded.get(stream)) is None else found.state)
        for stream, facility_id in streams.items()
    ]
    order = {"failed": 0, "opted_out": 1, "committed": 2}
    return sorted(results, key=lambda result: order[result["result"]])


def _result(facility_id: str, state: DREventState, dispatch: DispatchState | None) -> dict[str, Any]:
    result = "committed"
    if facility_id in state.failed_facilities:
        result = "failed"
    elif facility_id in state.opted_out_facilities:
        result = "opted_out"
    found: dict[str, Any] = {"facility_id": facility_id, "result": result}
    if result != "committed":
        found["reason"] = _reason(result, dispatch)
    if dispatch is not None:
        found["target_kw"] = dispatch.target_kw
        found["delivered_kw"] = dispatch.delivered_kw
        found["not_measurable_reason"] = dispatch.not_measurable_reason
    return found


def _reason(result: str, dispatch: DispatchState | None) -> str:
    if dispatch is None:
        return "it opted out" if result == "opted_out" else "it was given no part in the plan"
    known = dispatch.failure or dispatch.left_reason or dispatch.aborted_reason
    return known or f"its dispatch ended as {dispatch.status}"


def _counts(batch: Batch) -> dict[str, int]:
    return {
        "asked": batch.asked,
        "prepared": batch.prepared,
        "committed": batch.committed,
        "failed": batch.failed,
        "restored": batch.restored,
        "opted_out": batch.opted_out,
    }


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
