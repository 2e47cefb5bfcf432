"""What-if: a DR event computed again with a change, beside the recorded one; pure, and nothing is stored.

Assumptions, because the log does not contain what did not happen:

- headrooms are those of the recorded plan;
- a facility that failed fails again, before the window: its whole share is lost, reallocated, or ends the
  batch;
- a facility that served delivers the recorded share of its target, whatever the target.
"""

from collections.abc import Mapping
from math import fsum

from domain.allocation.allocate import (
    Allocation,
    FacilityOffer,
    FacilityShare,
    ZoneOffer,
    allocate,
    reallocate,
)
from domain.dispatch import DispatchState
from domain.dr_event import DREventState
from projections.as_of.what_if_document import (
    Change,
    FacilityComparison,
    NothingPlanned,
    NotInThePlan,
    Part,
    RemeasuredResult,
    Totals,
    WhatIf,
)
from projections.audit.replay import AuditDocument

__all__ = ["Change", "NotInThePlan", "NothingPlanned", "RemeasuredResult", "WhatIf", "what_if"]

_LOST = frozenset({"failed", "compensated", "released"})
Parts = dict[str, Part]


def what_if(
    document: AuditDocument, change: Change, *, remeasured: Mapping[str, RemeasuredResult] | None = None
) -> WhatIf:
    """The recorded DR event beside the hypothetical one. `remeasured` holds the result of another baseline,
    by facility.

    Raises NothingPlanned, NotInThePlan or InvalidQuantity (a target that is negative or not finite).
    """
    state = document.dr_event
    if not state.targets:
        raise NothingPlanned(
            f"DR event {document.dr_event_id} is {state.status} and has no plan; there is nothing to change"
        )
    for facility_id in change.without:
        if facility_id not in document.dispatches:
            raise NotInThePlan(f"{facility_id} is not in the plan of DR event {document.dr_event_id}")
    recorded = {i: _recorded(document.dispatches.get(i)) for i in _facilities(document)}
    plan = _plan(state, change)
    failed = {i for i, part in recorded.items() if part.outcome == "failed"}
    targets_kw = _targets_kw(state, plan, failed, change, document.dispatches)
    batch_ends = change.policy == "abort" and any(share.facility_id in failed for share in plan.shares)
    hypothetical = {
        i: _hypothetical(part, targets_kw.get(i), batch_ends=batch_ends, remeasured=_of(remeasured, i))
        for i, part in recorded.items()
    }
    return _document(document, change, recorded, hypothetical, remeasured or {})


def _facilities(document: AuditDocument) -> list[str]:
    notice = document.dr_event.judged_notice
    return sorted({*notice.facility_ids, *document.dispatches})


def _recorded(dispatch: DispatchState | None) -> Part:
    if dispatch is None:
        return Part(outcome="not_planned", target_kw=0.0, delivered_kw=0.0, why="it had no share in the plan")
    if dispatch.failure is not None:
        return Part(outcome="failed", target_kw=dispatch.target_kw, delivered_kw=0.0, why=dispatch.failure)
    if dispatch.status in {"aborting", "aborted"}:
        return Part(outcome="released", target_kw=dispatch.target_kw, delivered_kw=0.0)
    if not dispatch.was_committed:
        return Part(outcome="under_way", target_kw=dispatch.target_kw, delivered_kw=None)
    why = None if dispatch.delivered_kw is not None else "not measured"
    return Part(outcome="served", target_kw=dispatch.target_kw, delivered_kw=dispatch.delivered_kw, why=why)


def _plan(state: DREventState, change: Change) -> Allocation:
    """The plan with the recorded headrooms; the recorded plan if the change does not concern it."""
    target_kw = state.judged_notice.target_kw if change.target_kw is None else change.target_kw
    if change.of_the_plan:
        return allocate(
            target_kw, _offers(state, set(change.without)), rule=change.allocation or "proportional"
        )
    shares = tuple(FacilityShare(t.facility_id, t.target_kw, t.headroom_kw, ()) for t in state.targets)
    return Allocation(shares, target_kw, fsum(share.target_kw for share in shares), state.missing_kw)


def _offers(state: DREventState, without: set[str]) -> list[FacilityOffer]:
    """Each facility as one zone that can provide the headroom it was planned with."""
    return [
        FacilityOffer(t.facility_id, (ZoneOffer("all", t.headroom_kw, "as planned", 0.0),))
        for t in state.targets
        if t.facility_id not in without
    ]


def _targets_kw(
    state: DREventState,
    plan: Allocation,
    failed: set[str],
    change: Change,
    dispatches: Mapping[str, DispatchState],
) -> dict[str, float]:
    """The final target of each facility in the plan; facilities that are left out are not in it."""
    if change.policy is None and not change.of_the_plan:
        return {i: dispatch.target_kw for i, dispatch in dispatches.items()}
    if change.policy == "reallocate":
        planned = {share.facility_id for share in plan.shares}
        plan = reallocate(plan, _offers(state, set(change.without)), failed & planned)
    return {share.facility_id: share.target_kw for share in plan.shares}


def _hypothetical(
    recorded: Part, target_kw: float | None, *, batch_ends: bool, remeasured: RemeasuredResult | None
) -> Part:
    if recorded.outcome == "not_planned":
        return recorded
    if target_kw is None:
        return Part(outcome="left_out", target_kw=0.0, delivered_kw=0.0)
    if recorded.outcome == "failed":
        return Part(outcome="failed", target_kw=target_kw, delivered_kw=0.0, why=recorded.why)
    if batch_ends:
        return Part(
            outcome="compensated",
            target_kw=target_kw,
            delivered_kw=0.0,
            why="another facility failed, and the policy `abort` undoes the whole batch",
        )
    basis_kw = recorded.delivered_kw if remeasured is None else remeasured.delivered_kw
    why = recorded.why if remeasured is None else remeasured.why
    return Part(
        outcome=recorded.outcome,
        target_kw=target_kw,
        delivered_kw=_scaled(basis_kw, recorded.target_kw, target_kw),
        why=why,
    )


def _scaled(delivered_kw: float | None, was_kw: float, is_kw: float) -> float | None:
    """The recorded share of the target, applied to another target."""
    if delivered_kw is None or was_kw == is_kw:
        return delivered_kw
    return delivered_kw * (is_kw / was_kw) if was_kw > 0 else None


def _of(remeasured: Mapping[str, RemeasuredResult] | None, facility_id: str) -> RemeasuredResult | None:
    return None if remeasured is None else remeasured.get(facility_id)


def _totals(target_kw: float, parts: Parts) -> Totals:
    planned_kw = fsum(part.target_kw for part in parts.values())
    unknown = tuple(sorted(i for i, part in parts.items() if part.delivered_kw is None))
    delivered = [part.delivered_kw for part in parts.values() if part.delivered_kw is not None]
    measured = any(part.outcome == "served" and part.delivered_kw is not None for part in parts.values())
    delivered_kw = fsum(delivered) if measured or not unknown else None
    return Totals(
        target_kw=target_kw,
        planned_kw=planned_kw,
        missing_kw=max(0.0, target_kw - planned_kw),
        lost_kw=fsum(part.target_kw for part in parts.values() if part.outcome in _LOST),
        delivered_kw=delivered_kw,
        shortfall_kw=None if delivered_kw is None else max(0.0, target_kw - delivered_kw),
        unmeasured_facilities=unknown,
    )


def _document(
    document: AuditDocument,
    change: Change,
    recorded: Parts,
    hypothetical: Parts,
    remeasured: Mapping[str, RemeasuredResult],
) -> WhatIf:
    headrooms = {target.facility_id: target.headroom_kw for target in document.dr_event.targets}
    requested_kw = document.dr_event.judged_notice.target_kw
    return WhatIf(
        dr_event_id=document.dr_event_id,
        utility_id=document.utility_id,
        utility_event_id=document.utility_event_id,
        as_of=document.as_of,
        position=document.position,
        change=change,
        facilities=tuple(
            FacilityComparison(
                facility_id=i,
                headroom_kw=headrooms.get(i),
                recorded=recorded[i],
                hypothetical=hypothetical[i],
            )
            for i in sorted(recorded)
        ),
        recorded=_totals(requested_kw, recorded),
        hypothetical=_totals(requested_kw if change.target_kw is None else change.target_kw, hypothetical),
        remeasured=dict(remeasured),
    )
