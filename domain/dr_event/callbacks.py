"""Decisions of `DREvent` about measurements of the whole DR event and callbacks to the utility; pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from domain.dr_event import events
from domain.dr_event.decisions import DREventDecision
from domain.dr_event.state import MAX_UNMEASURED_REASONS, OTHER_REASONS, CallbackKind, DREventState
from domain.errors import NotAllowedNow
from domain.event_sourcing.aggregate import pending


def measure(
    state: DREventState,
    *,
    delivered_kw: float | None,
    measured_facilities: int,
    unmeasured_facilities: tuple[str, ...],
    unmeasured_reasons: Mapping[str, int] = MappingProxyType({}),
) -> DREventDecision:
    """Record the delivered power; only once. None: facilities were dispatched, and none could be measured."""
    if state.measurements:
        return
    if state.status not in {"completed", "cancelled_while_active"} or state.batch is None:
        raise NotAllowedNow(f"DR event {state.dr_event_id} is {state.status}; it is measured once it is over")
    yield pending(
        events.Measured,
        delivered_kw=delivered_kw,
        measured_facilities=measured_facilities,
        unmeasured_facilities=unmeasured_facilities,
        unmeasured_reasons=_most_frequent(unmeasured_reasons),
    )


def remeasure(
    state: DREventState,
    *,
    delivered_kw: float | None,
    measured_facilities: int,
    unmeasured_facilities: tuple[str, ...],
    unmeasured_reasons: Mapping[str, int] = MappingProxyType({}),
) -> DREventDecision:
    """Record a changed sum; an equal one records nothing."""
    if not state.measurements:
        raise NotAllowedNow(f"DR event {state.dr_event_id} was not measured yet: there is nothing to correct")
    if (delivered_kw, unmeasured_facilities) == (state.delivered_kw, state.unmeasured):
        return
    yield pending(
        events.Remeasured,
        previous_kw=state.delivered_kw,
        delivered_kw=delivered_kw,
        measured_facilities=measured_facilities,
        unmeasured_facilities=unmeasured_facilities,
        unmeasured_reasons=_most_frequent(unmeasured_reasons),
    )


def request_callback(
    state: DREventState, *, callback_id: UUID, kind: CallbackKind, body: str
) -> DREventDecision:
    """Record that a callback is to be sent, if the utility gave an address."""
    notice = state.notice
    if notice is None or not notice.wants_callbacks:
        return
    yield pending(
        events.CallbackRequested,
        callback_id=callback_id,
        kind=kind,
        url=notice.callback_url or "",
        address_id=notice.callback_address_id,
        body=body,
    )


def callback_delivered(
    state: DREventState,
    *,
    callback_id: UUID,
    kind: CallbackKind,
    attempts: int,
    status_code: int,
) -> DREventDecision:
    """Record the delivery of a callback."""
    if _callback_is_open(state, callback_id):
        yield pending(
            events.CallbackDelivered,
            callback_id=callback_id,
            kind=kind,
            attempts=attempts,
            status_code=status_code,
        )


def callback_undeliverable(
    state: DREventState, *, callback_id: UUID, kind: CallbackKind, attempts: int, reason: str
) -> DREventDecision:
    """Record that a callback could not be delivered."""
    if _callback_is_open(state, callback_id):
        yield pending(
            events.CallbackUndeliverable, callback_id=callback_id, kind=kind, attempts=attempts, reason=reason
        )


def _callback_is_open(state: DREventState, callback: UUID) -> bool:
    status = state.callbacks.get(str(callback))
    if status is None:
        raise NotAllowedNow(f"callback {callback} was never requested")
    return status != "delivered"


def _most_frequent(reasons: Mapping[str, int]) -> dict[str, int]:
    """At most MAX_UNMEASURED_REASONS, the most frequent first; the others are counted together."""
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) <= MAX_UNMEASURED_REASONS:
        return dict(ranked)
    first, others = ranked[: MAX_UNMEASURED_REASONS - 1], ranked[MAX_UNMEASURED_REASONS - 1 :]
    return dict(first) | {OTHER_REASONS: sum(count for _, count in others)}
