"""What the log says, and whether it says the same again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from application.event_store.event_mapper import decode_domain_event
from application.ports.event_store.event_log import LogEntry
from domain.dispatch import Dispatch
from domain.dr_event import FINAL, DREvent, Notice
from domain.event_sourcing.aggregate import DomainEvent
from projections.engine.memory_rows import MemoryRows
from projections.registry import PROJECTIONS
from tests.simulation.doubles.event_store import replayed
from tests.simulation.evidence import Evidence, Found


def every_facility_is_final(evidence: Evidence) -> Iterator[Found]:
    for dr_event in evidence.dr_events():
        if dr_event.status not in FINAL | {"rejected"}:
            yield Found(f"DR event {dr_event.utility_event_id} is still {dr_event.status}")
    for dispatch in evidence.dispatches():
        if not dispatch.is_final or dispatch.status == "restore_failed":
            yield Found(f"{dispatch.facility_id} is still {dispatch.status}")
        still_open = [r.command for r in dispatch.commands.values() if r.state == "requested"]
        for command in still_open:
            yield Found(f"the {command.phase} of {dispatch.facility_id}/{command.zone_id} has no outcome")


def batch_adds_up(evidence: Evidence) -> Iterator[Found]:
    """Of a DR event that ended: each facility asked delivered, failed or opted out, and only one of them."""
    dispatches = {(d.dr_event_id, d.facility_id): d for d in evidence.dispatches()}
    notices: dict[UUID, Notice] = {}
    for entry in evidence.entries:
        fact = entry.domain_event
        if isinstance(fact, DREvent.Accepted | DREvent.Modified):
            notices[fact.originator_id] = fact.notice
        if not isinstance(fact, DREvent.Completed | DREvent.WoundUp):
            continue
        asked = set(notices[fact.originator_id].facility_ids)
        failed, opted_out = set(fact.failed_facilities), set(fact.opted_out_facilities)
        rest = asked - failed - opted_out
        for facility_id in sorted(rest):
            found = dispatches.get((fact.originator_id, facility_id))
            if found is None or not found.was_committed or found.failure is not None:
                yield Found(f"{facility_id} counts as having delivered, and did not", fact.recorded_at)
        batch = fact.batch
        counts = (batch.asked, batch.failed, batch.opted_out)
        if counts != (len(asked), len(failed), len(opted_out)) or failed & opted_out or failed - asked:
            split = f"{sorted(failed)} failed and {sorted(opted_out)} opted out"
            yield Found(f"of {sorted(asked)}, {split}; counted are {batch}", fact.recorded_at)


def follows_once(evidence: Evidence) -> Iterator[Found]:
    """No consequence that the saga draws is recorded twice, however often the relay began again."""
    times = Counter(
        (fact.causation_id, type(fact).__qualname__, fact.originator_id, _detail(fact))
        for entry in evidence.entries
        if (fact := entry.domain_event).actor == "saga:dispatch"
    )
    for (_, kind, stream, detail), count in times.items():
        if count > 1:
            yield Found(f"{kind} {detail or ''} of stream {stream} was recorded {count} times for one cause")


def log_replays(evidence: Evidence) -> Iterator[Found]:
    again = replayed(evidence.stored)
    if again.keys() != evidence.aggregates.keys():
        yield Found("other streams come out of the stored log than were saved")
    for stream_id, aggregate in evidence.aggregates.items():
        twin = again.get(stream_id)
        if twin is not None and (twin.version, twin.state) != (aggregate.version, aggregate.state):
            yield Found(f"{type(aggregate).__name__} {stream_id} replays to another state")


def read_models_replay(evidence: Evidence) -> Iterator[Found]:
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
            yield Found(f"{projection.name} was folded to other rows than a fresh fold gives")


def comes_to_rest(evidence: Evidence) -> Iterator[Found]:
    if not evidence.came_to_rest:
        late_s = (evidence.ended_at - evidence.calm_at).total_seconds()
        yield Found(f"{late_s:.0f} s after the last fault something was still going on", evidence.ended_at)


def no_surprises(evidence: Evidence) -> Iterator[Found]:
    yield from map(Found, evidence.errors)


def _detail(fact: DomainEvent) -> str | None:
    match fact:
        case Dispatch.BmsCommandRequested(command=command):
            return str(command.command_id)
        case DREvent.CallbackRequested(kind=kind):
            return kind
        case Dispatch.BmsCommandReissued(command_id=command_id):
            return str(command_id)
    return None
