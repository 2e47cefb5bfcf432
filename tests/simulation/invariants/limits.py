"""Invariants of the limits agreed with each facility."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.facility import Facility, Reservation
from domain.identifiers import facility_stream_id
from tests.simulation.evidence import Evidence, Finding
from tests.simulation.invariants.buildings import GRACE, SLACK, curtailments, slack


def within_limits(evidence: Evidence) -> Iterator[Finding]:
    yield from _magnitudes(evidence)
    yield from _targets(evidence)
    yield from _durations(evidence)
    yield from _days(evidence)


def one_dr_event_at_a_time(evidence: Evidence) -> Iterator[Finding]:
    """No two reservations of a facility overlap, at any point of the log."""
    held: dict[UUID, dict[UUID, Reservation]] = {}
    for entry in evidence.entries:
        domain_event = entry.domain_event
        if isinstance(domain_event, Facility.Released):
            held.get(domain_event.originator_id, {}).pop(domain_event.dr_event_id, None)
        if not isinstance(domain_event, Facility.Reserved):
            continue
        others = held.setdefault(domain_event.originator_id, {})
        reserved = Reservation(
            dr_event_id=domain_event.dr_event_id,
            prepared_from=domain_event.prepared_from,
            starts_at=domain_event.starts_at,
            ends_at=domain_event.ends_at,
        )
        for other in others.values():
            if other.excludes(reserved):
                yield Finding(
                    f"stream {domain_event.originator_id} was reserved twice for {domain_event.starts_at:%T}"
                )
        others[domain_event.dr_event_id] = reserved


def only_curtailments_count(evidence: Evidence) -> Iterator[Finding]:
    """A facility is released as served if and only if it was committed or curtailed.

    A commit may be in flight for a facility that is preempted while it is prepared.
    """
    streams = {facility_stream_id(entry.facility_id): entry.facility_id for entry in evidence.plan.facilities}
    open_commits: dict[tuple[str, UUID], set[UUID]] = {}
    unclear: set[UUID] = set()
    """Commands attempted more than once: the BMS may have executed what it refused the second time."""
    prepared: set[tuple[str, UUID]] = set()
    taken: set[tuple[UUID, datetime]] = set()
    for entry in evidence.entries:
        domain_event = entry.domain_event
        match domain_event:
            case Dispatch.BmsCommandRequested(command=command) if command.phase == "commit":
                place = (domain_event.facility_id, domain_event.dr_event_id)
                open_commits.setdefault(place, set()).add(command.command_id)
            case Dispatch.BmsCommandAttempted(command_id=command_id, attempt=attempt) if attempt > 1:
                unclear.add(command_id)
            case Dispatch.BmsCommandRefused(command_id=command_id) if command_id not in unclear:
                open_commits.get((domain_event.facility_id, domain_event.dr_event_id), set()).discard(
                    command_id
                )
            case Dispatch.Prepared():
                prepared.add((domain_event.facility_id, domain_event.dr_event_id))
            case DREvent.Preempted():
                taken.add((domain_event.originator_id, domain_event.recorded_at))
            case Facility.Released(dr_event_id=dr_event_id, served=True):
                place = (streams[domain_event.originator_id], dr_event_id)
                may_be = place in prepared and (dr_event_id, domain_event.recorded_at) in taken
                if not open_commits.get(place) and not may_be:
                    yield Finding(
                        f"{place[0]} counts as served but was not curtailed", domain_event.recorded_at
                    )
    curtailed = {(c.facility_id, str(c.dr_event_id)) for c in curtailments(evidence)}
    for facility_id, _ in sorted(curtailed - set(_counted(evidence))):
        yield Finding(f"{facility_id} was curtailed but does not count as served")


def _counted(evidence: Evidence) -> Iterator[tuple[str, str]]:
    for aggregate in evidence.aggregates.values():
        if isinstance(aggregate, Facility):
            for dr_event_id in aggregate.state.served:
                yield aggregate.state.facility_id, dr_event_id


def preempted_in_time(evidence: Evidence) -> Iterator[Finding]:
    """Checked with the journal, for each zone that was curtailed when its facility was preempted."""
    minimum_off = {
        (entry.facility_id, zone.zone_id): timedelta(seconds=zone.minimum_off_s)
        for entry in evidence.plan.facilities
        for zone in entry.zones
    }
    taken = [
        (domain_event, domain_event.facility_ids) for domain_event in evidence.recorded(DREvent.Preempted)
    ]
    for domain_event, facility_ids in taken:
        begins_at = max(_start_of_stronger(evidence, domain_event), domain_event.recorded_at)
        for span in curtailments(evidence):
            mine = span.facility_id in facility_ids and span.dr_event_id == domain_event.originator_id
            at_that_time = span.since <= domain_event.recorded_at and (
                span.until is None or span.until > domain_event.recorded_at
            )
            free_at = span.since + minimum_off[span.facility_id, span.zone_id]
            if mine and at_that_time and free_at > begins_at + SLACK:
                place = f"{span.facility_id}/{span.zone_id}"
                yield Finding(
                    f"{place} was preempted for {begins_at:%T} but may not be released before {free_at:%T}"
                )


def _start_of_stronger(evidence: Evidence, domain_event: DREvent.Preempted) -> datetime:
    """The start of the DR event with priority, as accepted in the same transaction."""
    judged = [
        found.notice.starts_at
        for found in evidence.recorded(DREvent.Event)
        if isinstance(found, DREvent.Accepted | DREvent.Modified)
        and found.originator_id == domain_event.by_dr_event_id
        and found.recorded_at == domain_event.recorded_at
    ]
    return judged[0]


def no_commands_until_restored(evidence: Evidence) -> Iterator[Finding]:
    """Checked from the moment a restore failed; commands decided before that may still follow."""
    failing: dict[str, dict[UUID, datetime]] = {}
    for entry in evidence.entries:
        domain_event = entry.domain_event
        match domain_event:
            case Facility.RestoreAwaited():
                failing.setdefault(domain_event.facility_id, {})[domain_event.dr_event_id] = (
                    domain_event.recorded_at
                )
            case Facility.RestoreConfirmed():
                failing.get(domain_event.facility_id, {}).pop(domain_event.dr_event_id, None)
            case Dispatch.BmsCommandRequested(command=command) if command.phase in {"prepare", "commit"}:
                others = failing.get(domain_event.facility_id, {}).items()
                since = [at for dr_event_id, at in others if dr_event_id != domain_event.dr_event_id]
                if since and domain_event.recorded_at > min(since) + slack(evidence):
                    yield Finding(
                        f"the {command.phase} of {domain_event.facility_id} came before it was restored",
                        domain_event.recorded_at,
                    )


def _magnitudes(evidence: Evidence) -> Iterator[Finding]:
    most = {
        (entry.facility_id, zone.zone_id): zone.max_magnitude
        for entry in evidence.plan.facilities
        for zone in entry.zones
    }
    for requested in evidence.recorded(Dispatch.BmsCommandRequested):
        place = (requested.facility_id, requested.command.zone_id)
        if not 0 <= requested.command.magnitude / most[place] <= 1 + 1e-9:
            yield Finding(f"{'/'.join(place)} was to be curtailed by {requested.command.magnitude:g}")


def _targets(evidence: Evidence) -> Iterator[Finding]:
    for scheduled in evidence.recorded(DREvent.Scheduled):
        for target in scheduled.targets:
            if target.target_kw > target.headroom_kw + 1e-6:
                yield Finding(
                    f"{target.facility_id} was to shed {target.target_kw:g} of {target.headroom_kw:g} kW"
                )


def _durations(evidence: Evidence) -> Iterator[Finding]:
    longest = {
        (entry.facility_id, zone.zone_id): timedelta(seconds=zone.longest_curtailment_s)
        for entry in evidence.plan.facilities
        for zone in entry.zones
    }
    for curtailment in curtailments(evidence):
        place = (curtailment.facility_id, curtailment.zone_id)
        lasted = (curtailment.until or evidence.ended_at) - curtailment.since
        if lasted > longest[place] + GRACE:
            yield Finding(f"{'/'.join(place)} was curtailed for {lasted}")


def _days(evidence: Evidence) -> Iterator[Finding]:
    """Checked at each reservation, by the local day on which a window begins. Unserved releases do not count."""
    facilities = {facility_stream_id(entry.facility_id): entry for entry in evidence.plan.facilities}
    reserved: dict[UUID, dict[UUID, datetime]] = {stream: {} for stream in facilities}
    for entry in evidence.entries:
        domain_event = entry.domain_event
        if isinstance(domain_event, Facility.Released) and not domain_event.served:
            del reserved[domain_event.originator_id][domain_event.dr_event_id]
        if not isinstance(domain_event, Facility.Reserved):
            continue
        facility, begun = facilities[domain_event.originator_id], reserved[domain_event.originator_id]
        begun[domain_event.dr_event_id] = domain_event.starts_at
        tz = ZoneInfo(facility.tz)
        day = domain_event.starts_at.astimezone(tz).date()
        times = sum(moment.astimezone(tz).date() == day for moment in begun.values())
        if times > facility.dr_events_per_day:
            yield Finding(
                f"{facility.facility_id} is to serve {times} DR events on {day}", domain_event.recorded_at
            )
