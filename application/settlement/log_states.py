"""The states that a settlement follows from, folded from the log as it was at a position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import reduce
from itertools import islice
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from eventsourcing.utils import get_topic

from application.settlement.settled_event import facilities_of, lacks_time_zone
from domain.dispatch import Dispatch, DispatchState
from domain.dr_event import DREventState
from domain.event_sourcing.aggregate import DomainEvent, state_after
from domain.facility import Facility
from domain.identifiers import dispatch_id, facility_stream_id, program_stream_id
from domain.program import Terms

DISPATCH_TOPICS = tuple(
    get_topic(kind)
    for kind in (
        Dispatch.Planned,
        Dispatch.Amended,
        Dispatch.LeftEarly,
        Dispatch.Committed,
        Dispatch.Failed,
        Dispatch.Measured,
        Dispatch.NotMeasurable,
        Dispatch.Remeasured,
        Dispatch.MeasurementWithdrawn,
    )
)
"""Those that a settlement depends on."""
MEASUREMENTS = (Dispatch.Measured, Dispatch.Remeasured, Dispatch.MeasurementWithdrawn)
FACILITY_TOPICS = tuple(get_topic(kind) for kind in (Facility.Registered, Facility.LocationAgreed))
STREAMS_AT_ONCE = 500
READ_BEFORE = timedelta(seconds=60)
"""A settlement may be recorded so long after the measurements that it read."""


class LogEntry(Protocol):
    """A domain event at its position."""

    @property
    def position(self) -> int: ...

    @property
    def domain_event(self) -> DomainEvent: ...


class SettlementLog(Protocol):
    """The log, read by streams and by topics, each in its order."""

    def entries_of(
        self, stream_ids: Sequence[UUID], *, topics: Sequence[str] | None = None
    ) -> Sequence[LogEntry]: ...

    def entries_about(self, topics: Sequence[str], *, until: int, after: int = 0) -> Iterator[LogEntry]: ...


class StatesAt(NamedTuple):
    """The states that a settlement follows from."""

    dr_event: DREventState
    terms: Terms
    dispatches: dict[str, DispatchState]


class MeasurementsRead(NamedTuple):
    """The measurements that a settlement says it was computed from."""

    of: Mapping[str, str]
    """Facility -> the domain event that recorded it."""
    settled_at: datetime

    def as_read(self, entries: Sequence[LogEntry], facility_id: str) -> Sequence[LogEntry]:
        """The entries of a dispatch without later measurements that were recorded while the settlement was computed."""
        named, since = self.of.get(facility_id), self.settled_at - READ_BEFORE
        places = [n for n, one in enumerate(entries) if isinstance(one.domain_event, MEASUREMENTS)]
        if not places or named == _measurement(entries[places[-1]]):
            return entries
        read = next((n for n in places if _measurement(entries[n]) == named), None if named else -1)
        if read is None:
            return entries
        return [
            one
            for n, one in enumerate(entries)
            if n <= read or n not in places or one.domain_event.recorded_at <= since
        ]


def _measurement(entry: LogEntry) -> str | None:
    """The domain event of the measurement that is in force after the entry."""
    withdrawn = isinstance(entry.domain_event, Dispatch.MeasurementWithdrawn)
    return None if withdrawn else str(entry.domain_event.domain_event_id)


class StatesInLog:
    """The streams of one DR event, to be folded up to any position."""

    def __init__(
        self,
        log: SettlementLog,
        dr_event: Sequence[LogEntry],
        program: Sequence[LogEntry],
        dispatches: dict[str, list[LogEntry]],
    ) -> None:
        self._log = log
        self._dr_event, self._program, self._dispatches = dr_event, program, dispatches
        self._measured_at = sorted(
            one.position
            for entries in dispatches.values()
            for one in entries
            if isinstance(one.domain_event, MEASUREMENTS)
        )

    @classmethod
    def of(cls, log: SettlementLog, dr_event_id: UUID) -> StatesInLog:
        """Raises LookupError for a DR event without a notice."""
        dr_event = log.entries_of([dr_event_id])
        state = folded(dr_event, None)
        if not isinstance(state, DREventState) or state.notice is None:
            raise LookupError(f"DR event {dr_event_id} has no notice")
        streams = {dispatch_id(dr_event_id, one): one for one in state.dispatched}
        found: dict[str, list[LogEntry]] = {}
        ids = list(streams)
        for start in range(0, len(ids), STREAMS_AT_ONCE):
            for entry in log.entries_of(ids[start : start + STREAMS_AT_ONCE], topics=DISPATCH_TOPICS):
                found.setdefault(streams[entry.domain_event.originator_id], []).append(entry)
        program = log.entries_of([program_stream_id(state.notice.program_id)])
        return cls(log, dr_event, program, found)

    def moments_before(self, position: int, count: int) -> Iterator[int]:
        """`position`, and then the last positions before measurements that precede it."""
        yield position - 1
        earlier = [at - 1 for at in self._measured_at if at < position]
        yield from islice(reversed(earlier), count)

    def at(self, until: int, *, version: int, read: MeasurementsRead | None = None) -> StatesAt:
        """`read`: without measurements that were recorded after these. Raises LookupError where something is missing
        up to that position."""
        dr_event, program = folded(self._dr_event, until), folded(self._program, until)
        if dr_event is None:
            raise LookupError(f"the DR event is not in the log up to position {until}")
        terms = None if program is None else program.versions.get(version)
        if terms is None:
            raise LookupError(f"the program has no version {version} up to position {until}")
        dispatches = {
            facility_id: state
            for facility_id, entries in self._dispatches.items()
            if (state := _folded_as_read(entries, until, read, facility_id)) is not None
        }
        return StatesAt(dr_event, terms, dispatches)

    def time_zones(
        self, dr_event: DREventState, dispatches: dict[str, DispatchState], until: int
    ) -> dict[str, str]:
        """Time zones of the facilities for which no measurement gives one: the one in force at the start."""
        unknown = {
            facility_stream_id(one): one
            for one in facilities_of(dr_event)
            if lacks_time_zone(dispatches, one)
        }
        if not unknown:
            return {}
        by_facility: dict[str, list[LogEntry]] = {}
        for entry in self._log.entries_of(list(unknown), topics=FACILITY_TOPICS):
            by_facility.setdefault(unknown[entry.domain_event.originator_id], []).append(entry)
        states = {name: folded(entries, until) for name, entries in by_facility.items()}
        starts_at = dr_event.judged_notice.starts_at
        return {name: state.tz_at(starts_at) for name, state in states.items() if state is not None}


def _folded_as_read(
    entries: Sequence[LogEntry], until: int, read: MeasurementsRead | None, facility_id: str
) -> Any:
    if read is None:
        return folded(entries, until)
    return folded(read.as_read([one for one in entries if one.position <= until], facility_id), None)


def folded(entries: Sequence[LogEntry], until: int | None) -> Any:
    """The state after the entries up to that position; None before the first."""
    known = (entry.domain_event for entry in entries if until is None or entry.position <= until)
    return reduce(state_after, known, None)
