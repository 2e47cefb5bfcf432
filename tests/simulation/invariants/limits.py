"""What was agreed with each facility."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.facility import Facility, Reservation
from domain.identifiers import facility_stream_id
from tests.simulation.evidence import Evidence, Found
from tests.simulation.invariants.buildings import GRACE, SLACK, curtailments, slack


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


def only_curtailments_count(evidence: Evidence) -> Iterator[Found]:
    """What was never committed is released unserved, and what was curtailed served.

    Of one that is taken while it is prepared a commit may be on its way.
    """
    streams = {facility_stream_id(entry.facility_id): entry.facility_id for entry in evidence.plan.facilities}
    open_commits: dict[tuple[str, UUID], set[UUID]] = {}
    unclear: set[UUID] = set()
    """Attempted more than once: the BMS may have carried out what it refused the second time."""
    prepared: set[tuple[str, UUID]] = set()
    taken: set[tuple[UUID, datetime]] = set()
    for entry in evidence.entries:
        fact = entry.domain_event
        match fact:
            case Dispatch.BmsCommandRequested(command=command) if command.phase == "commit":
                place = (fact.facility_id, fact.dr_event_id)
                open_commits.setdefault(place, set()).add(command.command_id)
            case Dispatch.BmsCommandAttempted(command_id=command_id, attempt=attempt) if attempt > 1:
                unclear.add(command_id)
            case Dispatch.BmsCommandRefused(command_id=command_id) if command_id not in unclear:
                open_commits.get((fact.facility_id, fact.dr_event_id), set()).discard(command_id)
            case Dispatch.Prepared():
                prepared.add((fact.facility_id, fact.dr_event_id))
            case DREvent.Preempted():
                taken.add((fact.originator_id, fact.recorded_at))
            case Facility.Released(dr_event_id=dr_event_id, served=True):
                place = (streams[fact.originator_id], dr_event_id)
                may_be = place in prepared and (dr_event_id, fact.recorded_at) in taken
                if not open_commits.get(place) and not may_be:
                    yield Found(
                        f"{place[0]} counts as having served, and was not curtailed", fact.recorded_at
                    )
    curtailed = {(c.facility_id, str(c.dr_event_id)) for c in curtailments(evidence)}
    for facility_id, _ in sorted(curtailed - set(_counted(evidence))):
        yield Found(f"{facility_id} was curtailed, and that does not count")


def _counted(evidence: Evidence) -> Iterator[tuple[str, str]]:
    for aggregate in evidence.aggregates.values():
        if isinstance(aggregate, Facility):
            for dr_event_id in aggregate.state.served:
                yield aggregate.state.facility_id, dr_event_id


def taken_in_time(evidence: Evidence) -> Iterator[Found]:
    """By what its own journal says of each zone that was curtailed when its facility was taken."""
    minimum_off = {
        (entry.facility_id, zone.zone_id): timedelta(seconds=zone.minimum_off_s)
        for entry in evidence.plan.facilities
        for zone in entry.zones
    }
    taken = [(fact, fact.facility_ids) for fact in evidence.recorded(DREvent.Preempted)]
    for fact, facility_ids in taken:
        begins_at = max(_start_when_taken(evidence, fact), fact.recorded_at)
        for span in curtailments(evidence):
            mine = span.facility_id in facility_ids and span.dr_event_id == fact.originator_id
            at_that_time = span.since <= fact.recorded_at and (
                span.until is None or span.until > fact.recorded_at
            )
            free_at = span.since + minimum_off[span.facility_id, span.zone_id]
            if mine and at_that_time and free_at > begins_at + SLACK:
                place = f"{span.facility_id}/{span.zone_id}"
                yield Found(f"{place} was taken for {begins_at:%T} and is bound until {free_at:%T}")


def _start_when_taken(evidence: Evidence, fact: DREvent.Preempted) -> datetime:
    """Of the stronger DR event, as it was judged in the same transaction."""
    judged = [
        found.notice.starts_at
        for found in evidence.recorded(DREvent.Event)
        if isinstance(found, DREvent.Accepted | DREvent.Modified)
        and found.originator_id == fact.by_dr_event_id
        and found.recorded_at == fact.recorded_at
    ]
    return judged[0]


def kept_until_restored(evidence: Evidence) -> Iterator[Found]:
    """From the moment that its restore failed; what was decided at that moment may still come."""
    failing: dict[str, dict[UUID, datetime]] = {}
    for entry in evidence.entries:
        fact = entry.domain_event
        match fact:
            case Facility.RestoreAwaited():
                failing.setdefault(fact.facility_id, {})[fact.dr_event_id] = fact.recorded_at
            case Facility.RestoreConfirmed():
                failing.get(fact.facility_id, {}).pop(fact.dr_event_id, None)
            case Dispatch.BmsCommandRequested(command=command) if command.phase in {"prepare", "commit"}:
                others = failing.get(fact.facility_id, {}).items()
                since = [at for dr_event_id, at in others if dr_event_id != fact.dr_event_id]
                if since and fact.recorded_at > min(since) + slack(evidence):
                    yield Found(
                        f"the {command.phase} of {fact.facility_id} came before it was restored",
                        fact.recorded_at,
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
    """At each reservation, by the local day on which a window begins. What was released unserved does not count."""
    facilities = {facility_stream_id(entry.facility_id): entry for entry in evidence.plan.facilities}
    kept: dict[UUID, dict[UUID, datetime]] = {stream: {} for stream in facilities}
    for entry in evidence.entries:
        fact = entry.domain_event
        if isinstance(fact, Facility.Released) and not fact.served:
            del kept[fact.originator_id][fact.dr_event_id]
        if not isinstance(fact, Facility.Reserved):
            continue
        facility, begun = facilities[fact.originator_id], kept[fact.originator_id]
        begun[fact.dr_event_id] = fact.starts_at
        tz = ZoneInfo(facility.tz)
        day = fact.starts_at.astimezone(tz).date()
        times = sum(moment.astimezone(tz).date() == day for moment in begun.values())
        if times > facility.dr_events_per_day:
            yield Found(f"{facility.facility_id} is to serve {times} DR events on {day}", fact.recorded_at)
