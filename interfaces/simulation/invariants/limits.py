"""What was agreed with each facility."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.facility import Facility, Reservation
from domain.identifiers import facility_stream_id
from interfaces.simulation.evidence import Evidence, Found
from interfaces.simulation.invariants.buildings import GRACE, curtailments


def limits_are_kept(evidence: Evidence) -> Iterator[Found]:
    yield from _magnitudes(evidence)
    yield from _targets(evidence)
    yield from _durations(evidence)
    yield from _days(evidence)


def one_dr_event_at_a_time(evidence: Evidence) -> Iterator[Found]:
    """No two reservations of a facility overlap, at any point of the log."""
    held: dict[UUID, dict[UUID, Reservation]] = {}
    for entry in evidence.entries:
        fact = entry.domain_event
        if isinstance(fact, Facility.Released):
            held.get(fact.originator_id, {}).pop(fact.dr_event_id, None)
        if not isinstance(fact, Facility.Reserved):
            continue
        others = held.setdefault(fact.originator_id, {})
        for dr_event_id, other in others.items():
            overlaps = other.starts_at < fact.ends_at and fact.starts_at < other.ends_at
            if dr_event_id != fact.dr_event_id and overlaps:
                yield Found(f"stream {fact.originator_id} was reserved twice for {fact.starts_at:%T}")
        others[fact.dr_event_id] = Reservation(
            dr_event_id=fact.dr_event_id, starts_at=fact.starts_at, ends_at=fact.ends_at
        )


def _magnitudes(evidence: Evidence) -> Iterator[Found]:
    most = {
        (entry.facility_id, zone.zone_id): zone.max_magnitude
        for entry in evidence.plan.facilities
        for zone in entry.zones
    }
    for requested in evidence.recorded(Dispatch.BmsCommandRequested):
        place = (requested.facility_id, requested.command.zone_id)
        if requested.command.magnitude > most[place] + 1e-9:
            yield Found(f"{'/'.join(place)} was to be curtailed by {requested.command.magnitude:g}")


def _targets(evidence: Evidence) -> Iterator[Found]:
    for scheduled in evidence.recorded(DREvent.Scheduled):
        for target in scheduled.targets:
            if target.target_kw > target.headroom_kw + 1e-6:
                yield Found(
                    f"{target.facility_id} was to shed {target.target_kw:g} of {target.headroom_kw:g} kW"
                )


def _durations(evidence: Evidence) -> Iterator[Found]:
    longest = {
        (entry.facility_id, zone.zone_id): timedelta(seconds=zone.longest_curtailment_s)
        for entry in evidence.plan.facilities
        for zone in entry.zones
    }
    for curtailment in curtailments(evidence):
        place = (curtailment.facility_id, curtailment.zone_id)
        lasted = (curtailment.until or evidence.ended_at) - curtailment.since
        if lasted > longest[place] + GRACE:
            yield Found(f"{'/'.join(place)} was curtailed for {lasted}")


def _days(evidence: Evidence) -> Iterator[Found]:
    """A DR event that was released unserved does not count. All of a storm is one day."""
    kept: dict[UUID, set[UUID]] = {}
    for entry in evidence.entries:
        fact = entry.domain_event
        if isinstance(fact, Facility.Reserved):
            kept.setdefault(fact.originator_id, set()).add(fact.dr_event_id)
        elif isinstance(fact, Facility.Released) and not fact.served:
            kept[fact.originator_id].discard(fact.dr_event_id)
    for facility in evidence.plan.facilities:
        times = len(kept.get(facility_stream_id(facility.facility_id), ()))
        if times > facility.dr_events_per_day:
            yield Found(f"{facility.facility_id} served {times} DR events that day")
