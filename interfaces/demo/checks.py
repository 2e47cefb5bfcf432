"""The checks at the end of the demo. Each failed check names a fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from interfaces.demo.building_actions import BuildingActions, actions_without_intent
from interfaces.demo.facility_roles import FacilityRoles
from interfaces.demo.ledger import LedgerCheck, ProofCheck
from interfaces.demo.settlement import SettlementCheck
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.utility import ReceivedCallback

CALLBACKS = frozenset({"accepted", "started", "completed", "measured", "settled"})


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of the checks."""

    roles: FacilityRoles
    dr_event: DREvent
    log: tuple[DomainEvent, ...]
    """Our log of the DR event and its dispatches, in order."""
    journal: list[JournalEntry]
    callbacks: list[ReceivedCallback]
    building_actions: BuildingActions
    in_time: bool
    """The DR event was completed and settled in time."""
    resettled: bool | None
    """Whether it was settled again in time; None: no reading was corrected."""
    settlement: SettlementCheck
    unequal_read_models: tuple[str, ...]
    """Read models that differ from a fresh replay, with the first difference."""
    ledger: LedgerCheck
    proof: ProofCheck
    killed: Mapping[str, str | None]
    """Failpoint -> the work in flight when a worker was killed there; None if no worker reached it."""

    @property
    def in_flight(self) -> tuple[str, ...]:
        return tuple(what for what in self.killed.values() if what is not None)


def faults(evidence: Evidence) -> list[str]:
    """The fault of each failed check; empty if the demo passed."""
    return [
        *_at_the_end(evidence),
        *_at_the_buildings(evidence),
        *_at_the_utility(evidence),
        *(f"read model differs from a fresh replay: {one}" for one in evidence.unequal_read_models),
        *(f"the ledger does not hold: {one}" for one in evidence.ledger.problems),
        *(f"the settlement does not follow from the log: {one}" for one in evidence.settlement.problems),
        *(f"the proof of the DR event does not hold: {one}" for one in evidence.proof.problems),
        *_killed(evidence),
    ]


def first_attempts(log: Iterable[DomainEvent]) -> dict[UUID, datetime]:
    """Command id -> when its first attempt was recorded."""
    attempts: dict[UUID, datetime] = {}
    for domain_event in log:
        if isinstance(domain_event, Dispatch.BmsCommandAttempted):
            attempts.setdefault(domain_event.command_id, domain_event.recorded_at)
    return attempts


def failed_facilities(log: Iterable[DomainEvent]) -> dict[str, str]:
    """Facility -> why it did not take part: its dispatch failed, or no plan was ever made for it."""
    failed: dict[str, str] = {}
    unplanned: dict[str, str] = {}
    for domain_event in log:
        if isinstance(domain_event, DREvent.PlanningRefused):
            unplanned = {reason.facility_id or "": reason.detail for reason in domain_event.reasons}
        elif isinstance(domain_event, Dispatch.Failed):
            failed[domain_event.facility_id] = domain_event.reason
        elif isinstance(domain_event, DREvent.Completed):
            for facility_id in domain_event.failed_facilities:
                failed.setdefault(facility_id, unplanned.get(facility_id, "not planned"))
    return failed


def _at_the_end(evidence: Evidence) -> Iterable[str]:
    state = evidence.dr_event.state
    if not evidence.in_time:
        yield "timed out: not completed and settled in time after the end of the window"
    if evidence.resettled is False:
        yield "timed out: not settled again in time after a reading was corrected"
    if state.status != "completed":
        yield f"DR event not completed: it is {state.status}"
    if state.delivered_kw is None:
        reasons = "; ".join(state.unmeasured_reasons)
        yield "delivery not measured" + (f": {reasons}" if reasons else "")
    failed = set(failed_facilities(evidence.log))
    if failed != evidence.roles.expected_failures:
        expected = ", ".join(sorted(evidence.roles.expected_failures))
        yield f"unexpected failures: {', '.join(sorted(failed)) or 'none'} failed, expected {expected}"


def _at_the_buildings(evidence: Evidence) -> Iterable[str]:
    actions = evidence.building_actions
    for action, count in sorted(actions.duplicates.items()):
        yield f"duplicate BMS command: {action} was carried out {count} times"
    for zone in sorted(actions.curtailed_after_end):
        yield f"building left curtailed: {zone}"
    for zone in sorted(actions.expired):
        yield f"building restored itself without a command: {zone}"
    for facility in sorted(actions.committed - actions.restored):
        yield f"building not restored by command: {facility}"
    for action in actions_without_intent(evidence.journal, first_attempts(evidence.log)):
        yield f"action without a recorded intent: {action}"
    recorded = {entry.facility_id for entry in evidence.log if isinstance(entry, Dispatch.Committed)}
    for facility in sorted(recorded - actions.committed):
        yield f"our log records a commit that the building did not do: {facility}"


def _at_the_utility(evidence: Evidence) -> Iterable[str]:
    received = {c.callback_id: c for c in evidence.callbacks if c.status == 200}
    kinds = {c.kind for c in received.values() if c.dr_event_id == str(evidence.dr_event.id)}
    for kind in sorted(CALLBACKS - kinds):
        yield f"lost callback: the utility never received `{kind}`"
    for callback in received.values():
        if not callback.signature_ok:
            yield f"callback `{callback.kind}` has a wrong signature"
    for entry in evidence.log:
        if isinstance(entry, DREvent.CallbackDelivered) and str(entry.callback_id) not in received:
            yield f"lost callback: `{entry.kind}` is recorded as delivered, but the utility did not receive it"


def _killed(evidence: Evidence) -> Iterable[str]:
    for failpoint, in_flight in evidence.killed.items():
        if in_flight is None:
            yield f"no worker was killed: the failpoint {failpoint} was never reached"
