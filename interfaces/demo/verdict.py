"""The demo's verdict: everything that must be true at the end, and the name of whatever is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import DomainEvent
from interfaces.demo.cast import Cast
from interfaces.demo.ledger import LedgerVerdict
from interfaces.demo.story import SETTLE
from interfaces.demo.witness import Witnessed, unintended
from interfaces.simulators.bms.journal import JournalEntry
from interfaces.simulators.utility import ReceivedCallback

CALLBACKS = frozenset({"accepted", "started", "completed", "measured"})


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that the verdict rests on."""

    cast: Cast
    dr_event: DREvent
    story: tuple[DomainEvent, ...]
    """Our log of the DR event and its dispatches, in order."""
    journal: list[JournalEntry]
    callbacks: list[ReceivedCallback]
    witnessed: Witnessed
    in_time: bool
    """All was over within the time it is given."""
    unequal_read_models: tuple[str, ...]
    """Read models that differ from a fresh replay, with the first difference."""
    ledger: LedgerVerdict
    killed: Mapping[str, str | None]
    """Failpoint -> what was in flight when a worker was killed at it; None: nobody came there."""

    @property
    def in_flight(self) -> tuple[str, ...]:
        return tuple(what for what in self.killed.values() if what is not None)


def faults(evidence: Evidence) -> list[str]:
    """Everything that is wrong, each with its name; empty when the demo has done what it promises."""
    return [
        *_at_the_end(evidence),
        *_in_the_buildings(evidence),
        *_told_to_the_utility(evidence),
        *(f"read model differs from a fresh replay: {one}" for one in evidence.unequal_read_models),
        *(f"the ledger does not hold: {one}" for one in evidence.ledger.problems),
        *_killed(evidence),
    ]


def first_attempts(story: Iterable[DomainEvent]) -> dict[UUID, datetime]:
    """Command id -> when its first attempt was recorded."""
    attempts: dict[UUID, datetime] = {}
    for fact in story:
        if isinstance(fact, Dispatch.BmsCommandAttempted):
            attempts.setdefault(fact.command_id, fact.recorded_at)
    return attempts


def failed_facilities(story: Iterable[DomainEvent]) -> dict[str, str]:
    """Facility -> why it did not serve: its dispatch failed, or there never was a plan for it."""
    failed: dict[str, str] = {}
    unplanned: dict[str, str] = {}
    for fact in story:
        if isinstance(fact, DREvent.PlanningRefused):
            unplanned = {reason.facility_id or "": reason.detail for reason in fact.reasons}
        elif isinstance(fact, Dispatch.Failed):
            failed[fact.facility_id] = fact.reason
        elif isinstance(fact, DREvent.Completed):
            for facility_id in fact.failed_facilities:
                failed.setdefault(facility_id, unplanned.get(facility_id, "not planned"))
    return failed


def _at_the_end(evidence: Evidence) -> Iterable[str]:
    state = evidence.dr_event.state
    if not evidence.in_time:
        yield f"timed out: not all was over {SETTLE.total_seconds() / 60:g} min after the end of the window"
    if state.status != "completed":
        yield f"DR event not completed: it is {state.status}"
    if state.settlement_status != "measured":
        yield "delivery not measured"
    failed = set(failed_facilities(evidence.story))
    if failed != evidence.cast.expected_failures:
        expected = ", ".join(sorted(evidence.cast.expected_failures))
        yield f"unexpected failures: {', '.join(sorted(failed)) or 'none'} failed, expected {expected}"


def _in_the_buildings(evidence: Evidence) -> Iterable[str]:
    seen = evidence.witnessed
    for action, count in sorted(seen.duplicates.items()):
        yield f"duplicate BMS command: {action} was carried out {count} times"
    for zone in sorted(seen.curtailed_after_end):
        yield f"building left curtailed: {zone}"
    for zone in sorted(seen.let_go):
        yield f"building restored itself, nobody restored it: {zone}"
    for facility in sorted(seen.committed - seen.restored):
        yield f"building not restored by command: {facility}"
    for action in unintended(evidence.journal, first_attempts(evidence.story)):
        yield f"action without a recorded intent: {action}"
    recorded = {fact.facility_id for fact in evidence.story if isinstance(fact, Dispatch.Committed)}
    for facility in sorted(recorded - seen.committed):
        yield f"log says committed, the building says not: {facility}"


def _told_to_the_utility(evidence: Evidence) -> Iterable[str]:
    heard = {c.callback_id: c for c in evidence.callbacks if c.status == 200}
    kinds = {c.kind for c in heard.values() if c.dr_event_id == str(evidence.dr_event.id)}
    for kind in sorted(CALLBACKS - kinds):
        yield f"lost callback: the utility was never told `{kind}`"
    for callback in heard.values():
        if not callback.signature_ok:
            yield f"callback `{callback.kind}` came with a wrong signature"
    for fact in evidence.story:
        if isinstance(fact, DREvent.CallbackDelivered) and str(fact.callback_id) not in heard:
            yield f"lost callback: `{fact.kind}` is recorded as delivered, and the utility has not got it"


def _killed(evidence: Evidence) -> Iterable[str]:
    for failpoint, in_flight in evidence.killed.items():
        if in_flight is None:
            yield f"no worker was killed in the middle: the failpoint {failpoint} was never reached"
