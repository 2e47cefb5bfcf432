"""Descriptions of domain events for people: one sentence each, and the recorded reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch
from domain.dr_event import DREvent, Reason
from domain.event_sourcing.aggregate import DomainEvent
from projections.audit.dispatch_descriptions import DISPATCH_DESCRIPTIONS
from projections.audit.dr_event_descriptions import DR_EVENT_DESCRIPTIONS

DESCRIPTIONS: dict[type[DomainEvent], Callable[[Any, str], str]] = {
    **DR_EVENT_DESCRIPTIONS,
    **DISPATCH_DESCRIPTIONS,
}
"""Domain event -> the function that describes it, given the domain event and its facility."""


def description_of(domain_event: DomainEvent, facility_id: str | None) -> str:
    """The description of any domain event; its topic if it is not in the table."""
    describe = DESCRIPTIONS.get(type(domain_event))
    facility = facility_id or "the facility"
    return topic_of(domain_event) if describe is None else describe(domain_event, facility)


def topic_of(domain_event: DomainEvent) -> str:
    """The stable name under which the domain event is stored."""
    return get_topic(type(domain_event))


def reason_of(domain_event: DomainEvent) -> str | None:
    """The reason recorded in the domain event, if it has one."""
    if isinstance(domain_event, DREvent.Rejected | DREvent.PlanningRefused | DREvent.ModificationRefused):
        return _reasons(domain_event.reasons, domain_event.reason_counts)
    if isinstance(domain_event, Dispatch.BmsCommandRefused):
        return f"{domain_event.code}: {domain_event.reason}"
    if isinstance(domain_event, Dispatch.DriftDetected):
        return "the zone is not in the state that was commanded"
    reason: str | None = getattr(domain_event, "reason", None)
    return reason


def _reasons(reasons: Iterable[Reason], counts: Mapping[str, int]) -> str:
    listed = [
        f"{reason.code}{f' ({reason.facility_id})' if reason.facility_id else ''}: {reason.detail}"
        for reason in reasons
    ]
    if counts:
        listed.append(f"in all {', '.join(f'{count} {code}' for code, count in counts.items())}")
    return "; ".join(listed)
