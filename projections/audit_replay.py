"""A DR event replayed from the log: every step with who, what, why and caused by which, and the state at any moment.

As of T means: the longest prefix of the whole log in which every recorded_at <= T; as of N, the prefix that ends at
position N. Telemetry is not rewound; what was measured then is in the log.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREvent, DREventState
from domain.event_sourcing import CreationEvent, DomainEvent
from domain.facility import Facility
from domain.identifiers import dispatch_id, facility_stream_id
from projections.audit_steps import AuditTrailRow, step_of
from projections.story_log import AsOf, StoryEntry, StoryLog, position_as_of

_OF_FACILITY = (Facility.Reserved, Facility.Released, Facility.RestoreAwaited, Facility.RestoreConfirmed)
"""What its facilities' own streams say of a DR event."""


class UnknownStory(LookupError):
    """The log knows no such DR event (at that moment)."""


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


def resolve_dr_event(log: StoryLog, reference: str) -> UUID:
    """Our own id of a DR event, given that or the utility's. Raises UnknownStory, also for an ambiguous one."""
    try:
        return UUID(reference)
    except ValueError:
        called = log.dr_events_called(reference)
    if not called:
        raise UnknownStory(f"no DR event {reference!r}; list them with `gridproof dr-events list`")
    if len(called) > 1:
        ids = ", ".join(map(str, called))
        raise UnknownStory(f"several utilities have a DR event {reference!r}; name one of ours: {ids}")
    return called[0]


def audit_document(log: StoryLog, dr_event_id: UUID, *, as_of: AsOf | None = None) -> AuditDocument:
    """The DR event replayed from the log. Raises UnknownStory, PositionAhead or StoryLogUnavailable."""
    position, story = past_story(log, dr_event_id, as_of)
    entries = [entry for entry in story if entry.position <= position]
    names = facility_names(story)
    return replay(entries, dr_event_id, names=names, as_of=as_of, position=position)


def past_story(log: StoryLog, dr_event_id: UUID, as_of: AsOf | None) -> tuple[int, list[StoryEntry]]:
    """The end of the prefix that `as_of` means, and the whole story, which may go on after it.

    Raises UnknownStory if nothing of it is in the prefix, PositionAhead or StoryLogUnavailable.
    """
    position = position_as_of(log, as_of)
    story = read_story(log, dr_event_id)
    if not story or story[0].position > position:
        raise UnknownStory(
            f"the log knows no DR event {dr_event_id}{_when(as_of)}; list them with `gridproof dr-events list`"
        )
    return position, story


def _when(as_of: AsOf | None) -> str:
    if as_of is None:
        return ""
    return f" as of {as_of.isoformat()}" if isinstance(as_of, datetime) else f" as of position {as_of}"


def read_story(log: StoryLog, dr_event_id: UUID) -> list[StoryEntry]:
    """Its own stream, those of its dispatches, and what those of its facilities say of it, in the order of the log."""
    own = log.entries_of([dr_event_id])
    facility_ids = sorted(_facilities_named(own))
    if not facility_ids:
        return own
    dispatches = log.entries_of([dispatch_id(dr_event_id, facility_id) for facility_id in facility_ids])
    facilities = [
        entry
        for entry in log.entries_of(
            [facility_stream_id(facility_id) for facility_id in facility_ids],
            topics=[get_topic(kind) for kind in _OF_FACILITY],
            mentioning=dr_event_id,
        )
        if isinstance(entry.domain_event, _OF_FACILITY) and entry.domain_event.dr_event_id == dr_event_id
    ]
    return sorted([*own, *dispatches, *facilities], key=lambda entry: entry.position)


def _facilities_named(entries: Iterable[StoryEntry]) -> set[str]:
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


def facility_names(entries: Iterable[StoryEntry]) -> dict[UUID, str]:
    """Facility stream -> facility, for every facility that the story speaks of."""
    return {facility_stream_id(facility_id): facility_id for facility_id in _facilities_named(entries)}


def replay(
    entries: Sequence[StoryEntry],
    dr_event_id: UUID,
    *,
    names: Mapping[UUID, str],
    as_of: AsOf | None,
    position: int,
) -> AuditDocument:
    """Fold a story's entries into its document; pure. `names` gives the facility of a facility's stream.

    Raises UnknownStory if the DR event's own entries are not there.
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
        raise UnknownStory(f"the log knows nothing of DR event {dr_event_id} itself")
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
