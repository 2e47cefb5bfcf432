"""A DR event replayed from the log: every step with who, what, why and caused by which, and the state at any moment.

As of T means: the longest prefix of the whole log in which every recorded_at <= T; as of N, the prefix that ends at
position N. Telemetry is not rewound; what was measured then is in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent, DREventState
from domain.event_sourcing.aggregate import CreationEvent, DomainEvent
from domain.facility import Facility
from domain.identifiers import dispatch_id, facility_stream_id
from projections.audit.steps import AuditTrailRow, step_of
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog, position_up_to

_OF_FACILITY = (Facility.Reserved, Facility.Released, Facility.RestoreAwaited, Facility.RestoreConfirmed)
"""What its facilities' own streams say of a DR event."""
_FACILITY_TOPICS = tuple(get_topic(kind) for kind in _OF_FACILITY)


class DREventNotRecorded(LookupError):
    """The log knows no such DR event (at that moment)."""


class StreamSet(msgspec.Struct, frozen=True):
    """Where a DR event's story is told, which follows from the facilities that it names."""

    whole: tuple[UUID, ...]
    """Its own stream and those of its dispatches."""
    facilities: Mapping[UUID, str]
    """Facilities' streams, which speak of other DR events too -> the facility."""

    @classmethod
    def of(cls, dr_event_id: UUID, facility_ids: Iterable[str]) -> StreamSet:
        named = sorted(facility_ids)
        dispatches = (dispatch_id(dr_event_id, facility_id) for facility_id in named)
        return cls((dr_event_id, *dispatches), {facility_stream_id(one): one for one in named})


class Story(msgspec.Struct, frozen=True):
    """All that one state of the log says of a DR event."""

    head: int
    """The newest position of the log then."""
    entries: list[StreamEntry]
    """In the order of the log; none of an unknown one."""
    places: StreamSet


class AuditDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `gridproof audit replay --json` and GET /api/audit/dr-events/{id} give."""

    dr_event_id: UUID
    utility_id: str
    utility_event_id: str
    as_of: AsOf | None
    """A moment, a position, or neither."""
    position: int
    """The last position of the log taken into account."""
    steps: tuple[AuditTrailRow, ...]
    dr_event: DREventState
    """The state then, folded by the aggregate's own rules."""
    dispatches: dict[str, DispatchState]
    """Facility id -> the state then."""
    reserved_facilities: tuple[str, ...]
    """Those reserved for the DR event then."""


def resolve_dr_event(log: StreamLog, reference: str) -> UUID:
    """Our own id of a DR event, given that or the utility's. Raises DREventNotRecorded, also for an ambiguous one."""
    try:
        return UUID(reference)
    except ValueError:
        called = log.dr_events_called(reference)
    if not called:
        raise DREventNotRecorded(f"no DR event {reference!r}; list them with `gridproof dr-events list`")
    if len(called) > 1:
        ids = ", ".join(map(str, called))
        raise DREventNotRecorded(f"several utilities have a DR event {reference!r}; name one of ours: {ids}")
    return called[0]


def audit_document(log: StreamLog, dr_event_id: UUID, *, as_of: AsOf | None = None) -> AuditDocument:
    """The DR event replayed from the log. Raises DREventNotRecorded, PositionAhead or StreamLogUnavailable."""
    position, story = past_story(log, dr_event_id, as_of)
    entries = [entry for entry in story.entries if entry.position <= position]
    return replay(entries, dr_event_id, names=story.places.facilities, as_of=as_of, position=position)


def past_story(
    log: StreamLog, dr_event_id: UUID, as_of: AsOf | None, *, known: StreamSet | None = None
) -> tuple[int, Story]:
    """The end of the prefix that `as_of` means, and the whole story, which may go on after it.

    `known` as in `read_story`. Raises DREventNotRecorded if nothing of it is in the prefix, PositionAhead or
    StreamLogUnavailable.
    """
    if isinstance(as_of, datetime):
        position = log.prefix_end(as_of)
        story = read_story(log, dr_event_id, known=known)
    else:
        story = read_story(log, dr_event_id, known=known)
        position = position_up_to(story.head, as_of)
    if not story.entries or story.entries[0].position > position:
        raise DREventNotRecorded(
            f"the log knows no DR event {dr_event_id}{_when(as_of)}; list them with `gridproof dr-events list`"
        )
    return position, story


def _when(as_of: AsOf | None) -> str:
    if as_of is None:
        return ""
    return f" as of {as_of.isoformat()}" if isinstance(as_of, datetime) else f" as of position {as_of}"


def read_story(log: StreamLog, dr_event_id: UUID, *, known: StreamSet | None = None) -> Story:
    """Its own stream, those of its dispatches, and what those of its facilities say of it.

    `known`: where it was told when it was read before. While that is so this reads the log once, and else once more.
    """
    places = known or StreamSet.of(dr_event_id, ())
    while True:
        told = log.told_of(
            dr_event_id, whole=places.whole, partly=tuple(places.facilities), topics=_FACILITY_TOPICS
        )
        named = _facilities_named(told.entries)
        if named == set(places.facilities.values()):
            entries = [entry for entry in told.entries if _is_of(entry.domain_event, dr_event_id)]
            return Story(told.head, entries, places)
        places = StreamSet.of(dr_event_id, named)


def _is_of(happened: DomainEvent, dr_event_id: UUID) -> bool:
    """Not what names the id as something else, nor what a stream says whose id was taken for that of a DR event."""
    if isinstance(happened, _OF_FACILITY):
        return happened.dr_event_id == dr_event_id
    return isinstance(happened, DREvent.Event | Dispatch.Event)


def _facilities_named(entries: Iterable[StreamEntry]) -> set[str]:
    named: set[str] = set()
    for entry in entries:
        match entry.domain_event:
            case DREvent.Accepted() | DREvent.Rejected() | DREvent.Modified() as judged:
                named.update(judged.notice.facility_ids)
            case DREvent.Scheduled() | DREvent.Replanned() as planned:
                named.update(target.facility_id for target in planned.targets)
            case _:
                pass
    return named


def replay(
    entries: Sequence[StreamEntry],
    dr_event_id: UUID,
    *,
    names: Mapping[UUID, str],
    as_of: AsOf | None,
    position: int,
) -> AuditDocument:
    """Fold a story's entries into its document; pure. `names` gives the facility of a facility's stream.

    Raises DREventNotRecorded if the DR event's own entries are not there.
    """
    steps: dict[UUID, AuditTrailRow] = {}
    state: DREventState | None = None
    dispatches: dict[str, DispatchState] = {}
    reserved: set[str] = set()
    for entry in entries:
        happened = entry.domain_event
        facility_id: str | None = None
        if isinstance(happened, DREvent.Event):
            state = _evolved(happened, state)
        elif isinstance(happened, Dispatch.Event):
            facility_id = happened.facility_id
            dispatches[facility_id] = _evolved(happened, dispatches.get(facility_id))
        else:
            facility_id = names[happened.originator_id]
            if isinstance(happened, Facility.Reserved):
                reserved.add(facility_id)
            elif isinstance(happened, Facility.Released):
                reserved.discard(facility_id)
        cause = steps.get(happened.causation_id)
        step = step_of(entry.position, happened, dr_event_id, facility_id, cause)
        steps[step.domain_event_id] = step
    if state is None:
        raise DREventNotRecorded(f"the log knows nothing of DR event {dr_event_id} itself")
    return AuditDocument(
        dr_event_id=dr_event_id,
        utility_id=state.utility_id,
        utility_event_id=state.utility_event_id,
        as_of=as_of,
        position=position,
        steps=tuple(steps.values()),
        dr_event=state,
        dispatches=dict(sorted(dispatches.items())),
        reserved_facilities=tuple(sorted(reserved)),
    )


def _evolved(happened: DomainEvent, state: msgspec.Struct | None) -> Any:
    return happened.initial_state() if isinstance(happened, CreationEvent) else happened.evolve(state)
