"""Invariants of the log: final states, no duplicates, and a replay that gives the same state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from application.event_store.event_mapper import decode_domain_event
from application.ports.event_store.event_log import LogEntry
from domain.dispatch import Dispatch
from domain.dr_event import FINAL, DREvent, Notice
from domain.event_sourcing.aggregate import DomainEvent
from domain.forecast import quality_at
from projections.engine.memory_rows import MemoryRows
from projections.registry import PROJECTIONS
from tests.simulation.doubles.forecasts import SimulatedForecasts
from tests.simulation.evidence import Evidence, Finding


def every_facility_is_final(evidence: Evidence) -> Iterator[Finding]:
    for dr_event in evidence.dr_events():
        if dr_event.status not in FINAL | {"rejected"}:
            yield Finding(f"DR event {dr_event.utility_event_id} is still {dr_event.status}")
    for dispatch in evidence.dispatches():
        if not dispatch.is_final or dispatch.status == "restore_failed":
            yield Finding(f"{dispatch.facility_id} is still {dispatch.status}")
        still_open = [r.command for r in dispatch.commands.values() if r.state == "requested"]
        for command in still_open:
            yield Finding(f"the {command.phase} of {dispatch.facility_id}/{command.zone_id} has no outcome")


def batch_adds_up(evidence: Evidence) -> Iterator[Finding]:
    """In an ended DR event each requested facility either delivered, failed or opted out."""
    dispatches = {(d.dr_event_id, d.facility_id): d for d in evidence.dispatches()}
    notices: dict[UUID, Notice] = {}
    for entry in evidence.entries:
        domain_event = entry.domain_event
        if isinstance(domain_event, DREvent.Accepted | DREvent.Modified):
            notices[domain_event.originator_id] = domain_event.notice
        if not isinstance(domain_event, DREvent.Completed | DREvent.WoundUp):
            continue
        asked = set(notices[domain_event.originator_id].facility_ids)
        failed, opted_out = set(domain_event.failed_facilities), set(domain_event.opted_out_facilities)
        rest = asked - failed - opted_out
        for facility_id in sorted(rest):
            found = dispatches.get((domain_event.originator_id, facility_id))
            if found is None or not found.was_committed or found.failure is not None:
                yield Finding(
                    f"{facility_id} counts as having delivered, and did not", domain_event.recorded_at
                )
        batch = domain_event.batch
        counts = (batch.asked, batch.failed, batch.opted_out)
        if counts != (len(asked), len(failed), len(opted_out)) or failed & opted_out or failed - asked:
            split = f"{sorted(failed)} failed and {sorted(opted_out)} opted out"
            yield Finding(f"of {sorted(asked)}, {split}; counted are {batch}", domain_event.recorded_at)


def follows_once(evidence: Evidence) -> Iterator[Finding]:
    """No consequence that the saga draws is recorded twice, however often the relay began again."""
    times = Counter(
        (
            domain_event.causation_id,
            type(domain_event).__qualname__,
            domain_event.originator_id,
            _detail(domain_event),
        )
        for entry in evidence.entries
        if (domain_event := entry.domain_event).actor == "saga:dispatch"
    )
    for (_, kind, stream, detail), count in times.items():
        if count > 1:
            yield Finding(
                f"{kind} {detail or ''} of stream {stream} was recorded {count} times for one cause"
            )


def unblocked_by_a_good_forecast(evidence: Evidence) -> Iterator[Finding]:
    """Only a blocked dispatch is unblocked, and by its newest forecast, which was full and not stale then."""
    blocked: set[UUID] = set()
    for entry in evidence.entries:
        domain_event = entry.domain_event
        match domain_event:
            case Dispatch.Blocked():
                blocked.add(domain_event.originator_id)
            case Dispatch.ForecastOverridden():
                blocked.discard(domain_event.originator_id)
            case Dispatch.Unblocked(facility_id=facility_id, recorded_at=at):
                if domain_event.originator_id not in blocked:
                    yield Finding(f"{facility_id} was unblocked, and was not blocked", at)
                blocked.discard(domain_event.originator_id)
                book = SimulatedForecasts({facility_id: 1.0}, evidence.plan.forecasts)
                newest = book.newest(facility_id, at=at)
                if (
                    newest is None
                    or newest.forecast_id != domain_event.forecast_id
                    or quality_at(newest.data_quality, newest.cycle_start, at) != "full"
                ):
                    yield Finding(f"{facility_id} was unblocked by {domain_event.forecast_id}", at)


def log_replays(evidence: Evidence) -> Iterator[Finding]:
    again = _replayed(evidence.stored)
    if again.keys() != evidence.aggregates.keys():
        yield Finding("the stored log replays to other streams than were saved")
    for stream_id, aggregate in evidence.aggregates.items():
        twin = again.get(stream_id)
        if twin is not None and (twin.version, twin.state) != (aggregate.version, aggregate.state):
            yield Finding(f"{type(aggregate).__name__} {stream_id} replays to another state")


def read_models_replay(evidence: Evidence) -> Iterator[Finding]:
    stored = enumerate(evidence.stored, start=1)
    entries = [
        LogEntry(
            position,
            row.topic,
            decode_domain_event(row.topic, row.originator_id, row.originator_version, row.state),
        )
        for position, row in stored
    ]
    for projection in PROJECTIONS:
        rows: MemoryRows[Any] = MemoryRows(projection)
        rows.fold(entries)
        if rows.by_key != evidence.read_models[projection.name]:
            yield Finding(f"{projection.name} has other rows than a fresh fold")


def becomes_idle(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.became_idle:
        late_s = (evidence.ended_at - evidence.faults_end_at).total_seconds()
        yield Finding(f"{late_s:.0f} s after the last fault the system was not idle", evidence.ended_at)


def no_unexpected_errors(evidence: Evidence) -> Iterator[Finding]:
    yield from map(Finding, evidence.errors)


def _detail(domain_event: DomainEvent) -> str | None:
    match domain_event:
        case Dispatch.BmsCommandRequested(command=command):
            return str(command.command_id)
        case DREvent.CallbackRequested(kind=kind):
            return kind
        case Dispatch.BmsCommandReissued(command_id=command_id):
            return str(command_id)
    return None


def _replayed(stored: Sequence[StoredEvent]) -> dict[UUID, Any]:
    """Every aggregate, folded from the stored events."""
    aggregates: dict[UUID, Any] = {}
    for row in stored:
        domain_event = decode_domain_event(row.topic, row.originator_id, row.originator_version, row.state)
        stream_id = domain_event.originator_id
        aggregates[stream_id] = domain_event.mutate(aggregates.get(stream_id))
    return aggregates
