"""Replay of a DR event from the log: every step with its actor, reason and cause, and the state at any
moment.

As of a moment T is the longest prefix of the whole log in which every recorded_at <= T; as of N is the prefix
that ends at position N. Telemetry is not rewound; measurements are in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent, DREventState
from domain.event_sourcing.aggregate import DomainEvent, state_after
from domain.facility import OF_DR_EVENT, Facility
from domain.identifiers import dispatch_id, facility_stream_id
from projections.audit.steps import AuditTrailRow, step_of
from projections.audit.stream_log import AsOf, StreamEntry, StreamLog, position_up_to

_FACILITY_TOPICS = tuple(get_topic(kind) for kind in OF_DR_EVENT)


class DREventNotRecorded(LookupError):
    """The log has no such DR event (as of that moment)."""


class StreamSet(msgspec.Struct, frozen=True):
    """The streams that concern a DR event; they follow from the facilities that it names."""

    whole: tuple[UUID, ...]
    """Its own stream and those of its dispatches."""
    facilities: Mapping[UUID, str]
    """Streams of facilities -> the facility; they concern other DR events too."""

    @classmethod
    def of(cls, dr_event_id: UUID, facility_ids: Iterable[str]) -> StreamSet:
        """The streams of a DR event with these facilities."""
        named = sorted(facility_ids)
        dispatches = (dispatch_id(dr_event_id, facility_id) for facility_id in named)
        return cls((dr_event_id, *dispatches), {facility_stream_id(one): one for one in named})


class DREventHistory(msgspec.Struct, frozen=True):
    """All domain events of one DR event, in one state of the log."""

    head: int
    """The newest position of the log at that time."""
    entries: list[StreamEntry]
    """In the order of the log; empty for an unknown DR event."""
    streams: StreamSet


class AuditDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `gridproof audit replay --json` and of GET /api/audit/dr-events/{id}."""

    dr_event_id: UUID
    utility_id: str
    utility_event_id: str
    as_of: AsOf | None
    """A moment, a position, or neither."""
    position: int
    """The last position of the log that is taken into account."""
    steps: tuple[AuditTrailRow, ...]
    dr_event: DREventState
    """The state then, evolved by the aggregate's own rules."""
    dispatches: dict[str, DispatchState]
    """Facility id -> the state then."""
    reserved_facilities: tuple[str, ...]
    """The facilities reserved for the DR event then."""


def resolve_dr_event(log: StreamLog, reference: str) -> UUID:
    """The id of a DR event, from that id or from the utility's. Raises DREventNotRecorded, also if it is
    ambiguous.
    """
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
    position, history = history_as_of(log, dr_event_id, as_of)
    entries = [entry for entry in history.entries if entry.position <= position]
    return replay(entries, dr_event_id, names=history.streams.facilities, as_of=as_of, position=position)


def history_as_of(
    log: StreamLog, dr_event_id: UUID, as_of: AsOf | None, *, last_streams: StreamSet | None = None
) -> tuple[int, DREventHistory]:
    """The end of the prefix given by `as_of`, and the whole history, which may continue after it.

    `last_streams` as in `read_history`. Raises DREventNotRecorded if the prefix contains nothing of it,
    PositionAhead or StreamLogUnavailable.
    """
    if isinstance(as_of, datetime):
        position = log.prefix_end(as_of)
        history = read_history(log, dr_event_id, last_streams=last_streams)
    else:
        history = read_history(log, dr_event_id, last_streams=last_streams)
        position = position_up_to(history.head, as_of)
    if not history.entries or history.entries[0].position > position:
        raise DREventNotRecorded(
            f"the log has no DR event {dr_event_id}{_when(as_of)}; list them with `gridproof dr-events list`"
        )
    return position, history


def _when(as_of: AsOf | None) -> str:
    if as_of is None:
        return ""
    return f" as of {as_of.isoformat()}" if isinstance(as_of, datetime) else f" as of position {as_of}"


def read_history(
    log: StreamLog, dr_event_id: UUID, *, last_streams: StreamSet | None = None
) -> DREventHistory:
    """Its own stream, those of its dispatches, and the domain events of its facilities that concern it.

    `last_streams` are its streams by an earlier read. If they are still complete, the log is read once, otherwise
    once more.
    """
    streams = last_streams or StreamSet.of(dr_event_id, ())
    while True:
        stream_slice = log.read_streams(
            dr_event_id, whole=streams.whole, partly=tuple(streams.facilities), topics=_FACILITY_TOPICS
        )
        named = _facilities_named(stream_slice.entries)
        if named == set(streams.facilities.values()):
            entries = [entry for entry in stream_slice.entries if _is_of(entry.domain_event, dr_event_id)]
            return DREventHistory(stream_slice.head, entries, streams)
        streams = StreamSet.of(dr_event_id, named)


def _is_of(domain_event: DomainEvent, dr_event_id: UUID) -> bool:
    """True if a domain event concerns the DR event, and does not only contain its id in another role."""
    if isinstance(domain_event, OF_DR_EVENT):
        return domain_event.dr_event_id == dr_event_id
    return isinstance(domain_event, DREvent.Event | Dispatch.Event)


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
    """Fold the entries of a DR event into its document; pure. `names` is the facility of each facility
    stream.

    Raises DREventNotRecorded if the DR event's own entries are missing.
    """
    steps: dict[UUID, AuditTrailRow] = {}
    state: DREventState | None = None
    dispatches: dict[str, DispatchState] = {}
    reserved: set[str] = set()
    for entry in entries:
        domain_event = entry.domain_event
        facility_id: str | None = None
        if isinstance(domain_event, DREvent.Event):
            state = state_after(state, domain_event)
        elif isinstance(domain_event, Dispatch.Event):
            facility_id = domain_event.facility_id
            dispatches[facility_id] = state_after(dispatches.get(facility_id), domain_event)
        else:
            facility_id = names[domain_event.originator_id]
            if isinstance(domain_event, Facility.Reserved):
                reserved.add(facility_id)
            elif isinstance(domain_event, Facility.Released):
                reserved.discard(facility_id)
        cause = steps.get(domain_event.causation_id)
        step = step_of(entry.position, domain_event, dr_event_id, facility_id, cause)
        steps[step.domain_event_id] = step
    if state is None:
        raise DREventNotRecorded(f"the log has no domain event of DR event {dr_event_id} itself")
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
