"""Mixin of `DREvent` for measurements of the whole DR event and for callbacks to the utility."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from domain.dr_event import events
from domain.dr_event.mixin_base import DREventMixin
from domain.dr_event.state import MAX_UNMEASURED_REASONS, OTHER_REASONS, CallbackKind
from domain.errors import NotAllowedNow
from domain.event_sourcing.aggregate import Provenance
from domain.identifiers import callback_id


class Callbacks(DREventMixin):
    """The part of `DREvent` that records measurements and callbacks."""

    def measure(
        self,
        provenance: Provenance,
        *,
        delivered_kw: float | None,
        measured_facilities: int,
        unmeasured_facilities: tuple[str, ...],
        unmeasured_reasons: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Record the delivered power; only once. None: facilities were dispatched, and none could be measured."""
        if self.state.measurements:
            return
        if self.state.status not in {"completed", "cancelled_while_active"} or self.state.batch is None:
            raise NotAllowedNow(f"DR event {self.id} is {self.state.status}; it is measured once it is over")
        self.record(
            events.Measured,
            provenance,
            delivered_kw=delivered_kw,
            measured_facilities=measured_facilities,
            unmeasured_facilities=unmeasured_facilities,
            unmeasured_reasons=_most_frequent(unmeasured_reasons),
        )

    def remeasure(
        self,
        provenance: Provenance,
        *,
        delivered_kw: float | None,
        measured_facilities: int,
        unmeasured_facilities: tuple[str, ...],
        unmeasured_reasons: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Record a changed sum; an equal one records nothing."""
        state = self.state
        if not state.measurements:
            raise NotAllowedNow(f"DR event {self.id} was not measured yet: there is nothing to correct")
        if (delivered_kw, unmeasured_facilities) == (state.delivered_kw, state.unmeasured):
            return
        self.record(
            events.Remeasured,
            provenance,
            previous_kw=state.delivered_kw,
            delivered_kw=delivered_kw,
            measured_facilities=measured_facilities,
            unmeasured_facilities=unmeasured_facilities,
            unmeasured_reasons=_most_frequent(unmeasured_reasons),
        )

    def request_callback(self, provenance: Provenance, *, kind: CallbackKind, body: str) -> None:
        """Record that a callback is to be sent, if the utility gave an address."""
        notice = self.state.notice
        if notice is None or not notice.wants_callbacks:
            return
        self.record(
            events.CallbackRequested,
            provenance,
            callback_id=callback_id(self.id, kind, self.version),
            kind=kind,
            url=notice.callback_url or "",
            address_id=notice.callback_address_id,
            body=body,
        )

    def callback_delivered(
        self,
        provenance: Provenance,
        *,
        callback_id: UUID,
        kind: CallbackKind,
        attempts: int,
        status_code: int,
    ) -> None:
        """Record the delivery of a callback."""
        if self._callback_is_open(callback_id):
            self.record(
                events.CallbackDelivered,
                provenance,
                callback_id=callback_id,
                kind=kind,
                attempts=attempts,
                status_code=status_code,
            )

    def callback_undeliverable(
        self, provenance: Provenance, *, callback_id: UUID, kind: CallbackKind, attempts: int, reason: str
    ) -> None:
        """Record that a callback could not be delivered."""
        if self._callback_is_open(callback_id):
            self.record(
                events.CallbackUndeliverable,
                provenance,
                callback_id=callback_id,
                kind=kind,
                attempts=attempts,
                reason=reason,
            )

    def _callback_is_open(self, callback: UUID) -> bool:
        status = self.state.callbacks.get(str(callback))
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
