"""Mixin of `DREvent` for a utility's notices: accepted, rejected, modified or withdrawn."""

from __future__ import annotations

from domain.dr_event import events, plan_events
from domain.dr_event.mixin_base import DREventMixin
from domain.dr_event.reasons import summarized
from domain.dr_event.state import ENDED, ORDINARY_KIND, RUNNING, EventPrice, Notice, Reason
from domain.dr_event.window import requests_the_same
from domain.errors import NotAllowedNow, ReasonRequired
from domain.event_sourcing.aggregate import Provenance


class Notices(DREventMixin):
    """The part of `DREvent` that records decisions about notices."""

    def accept(
        self,
        provenance: Provenance,
        *,
        notice: Notice,
        program_version: int,
        capacity_kw: float,
        capacity_source: str,
        shortfall_kw: float,
        capacity_degraded_kw: float = 0.0,
        start_offset_s: int | None = None,
        blocked_facilities: int | None = None,
        at_risk_facilities: int | None = None,
        kind: str = ORDINARY_KIND,
        prices: tuple[EventPrice, ...] = (),
    ) -> None:
        """Accept a feasible notice; its window is in force from now on."""
        self._require_judgeable(notice)
        self.record(
            events.Accepted,
            provenance,
            notice=notice,
            program_version=program_version,
            capacity_kw=capacity_kw,
            capacity_source=capacity_source,
            shortfall_kw=shortfall_kw,
            capacity_degraded_kw=capacity_degraded_kw,
            start_offset_s=start_offset_s,
            blocked_facilities=blocked_facilities,
            at_risk_facilities=at_risk_facilities,
            kind=kind,
            prices=prices,
        )

    def reject(self, provenance: Provenance, *, notice: Notice, reasons: tuple[Reason, ...]) -> None:
        """Reject an infeasible notice; any number of reasons is summarized."""
        self._require_judgeable(notice)
        if not reasons:
            raise ReasonRequired("a rejection names its reasons")
        listed, counts = summarized(reasons)
        self.record(events.Rejected, provenance, notice=notice, reasons=listed, reason_counts=counts)

    def modify(
        self,
        provenance: Provenance,
        *,
        notice: Notice,
        capacity_kw: float,
        capacity_source: str,
        capacity_degraded_kw: float,
        shortfall_kw: float,
        start_offset_s: int | None,
        blocked_facilities: int | None = None,
        at_risk_facilities: int | None = None,
        kind: str = ORDINARY_KIND,
        prices: tuple[EventPrice, ...] = (),
    ) -> None:
        """Accept a changed, feasible notice; a new plan follows."""
        self._require_newer(notice)
        self.record(
            plan_events.Modified,
            provenance,
            notice=notice,
            capacity_kw=capacity_kw,
            capacity_source=capacity_source,
            capacity_degraded_kw=capacity_degraded_kw,
            shortfall_kw=shortfall_kw,
            start_offset_s=start_offset_s,
            blocked_facilities=blocked_facilities,
            at_risk_facilities=at_risk_facilities,
            kind=kind,
            prices=prices,
        )

    def reprice(
        self, provenance: Provenance, *, notice: Notice, kind: str, prices: tuple[EventPrice, ...]
    ) -> None:
        """Record another kind or other prices of an unchanged request; after the window only other prices."""
        self._require_newer(notice, also_ended=True)
        state = self.state
        if not requests_the_same(notice, state.judged_notice):
            raise NotAllowedNow(f"DR event {self.id} was requested otherwise; modify it")
        if state.status in ENDED and kind != state.kind:
            raise NotAllowedNow(f"DR event {self.id} is {state.status}: only its prices can change")
        self.record(
            plan_events.Modified,
            provenance,
            notice=notice,
            capacity_kw=state.capacity_kw,
            capacity_source=state.capacity_source,
            capacity_degraded_kw=state.capacity_degraded_kw,
            shortfall_kw=state.shortfall_kw,
            start_offset_s=state.start_offset_s,
            blocked_facilities=state.blocked_facilities,
            at_risk_facilities=state.at_risk_facilities,
            kind=kind,
            prices=prices,
        )

    def refuse_modification(
        self, provenance: Provenance, *, notice: Notice, reasons: tuple[Reason, ...]
    ) -> None:
        """Record why a changed notice is not feasible; the earlier one stays in force."""
        self._require_newer(notice, also_ended=True)
        if not reasons:
            raise ReasonRequired("a refusal names its reasons")
        listed, counts = summarized(reasons)
        self.record(
            plan_events.ModificationRefused, provenance, notice=notice, reasons=listed, reason_counts=counts
        )

    def withdraw(self, provenance: Provenance, *, modification_number: int | None, reason: str) -> None:
        """Cancel an event that was never accepted, so that a later notice of it is refused.

        With a number, only a notice with a higher number is judged afterwards; with None, no notice is.
        """
        if not reason.strip():
            raise ReasonRequired("a cancellation needs a reason")
        state, previous = self.state, self.state.withdrawn_number
        if previous is None:
            self._require({"opened", "rejected"}, "be withdrawn")
        elif state.withdrawn_for_good or (
            modification_number is not None and previous >= modification_number
        ):
            return
        if modification_number is None:
            of_notice = 0 if state.notice is None else state.notice.modification_number
            stated = max(of_notice, previous or 0)
        else:
            stated = modification_number
        self.record(
            events.Withdrawn,
            provenance,
            modification_number=stated,
            whatever_number=modification_number is None,
            reason=reason,
        )

    def _require_judgeable(self, notice: Notice) -> None:
        withdrawn = self.state.withdrawn_number
        if withdrawn is None:
            self._require({"opened", "rejected"}, "be judged")
        elif self.state.withdrawn_for_good:
            raise NotAllowedNow(
                f"DR event {self.id} was cancelled, whatever the number; use another event id"
            )
        elif notice.modification_number <= withdrawn:
            raise NotAllowedNow(
                f"DR event {self.id} was cancelled with number {withdrawn}; only a higher one is judged"
            )
        else:
            self._require({"opened", "rejected", "cancelled"}, "be judged")

    def _require_newer(self, notice: Notice, *, also_ended: bool = False) -> None:
        self._require(RUNNING | ENDED if also_ended else RUNNING, "be modified")
        if notice.modification_number <= self.state.modification_number:
            raise NotAllowedNow(
                f"DR event {self.id} stands at modification {self.state.modification_number}; use a higher one"
            )
