"""The changes of people beside DR events, as the audit shows them: administrative acts, facilities and programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic, resolve_topic

from domain.administration import AdministrativeAct
from domain.aggregates import LISTED_TOPICS
from domain.dispatch import Dispatch
from domain.event_sourcing.aggregate import DomainEvent, state_after
from domain.facility import Facility, FacilityState
from domain.identifiers import facility_stream_id, program_stream_id
from domain.program import Program, ProgramState
from projections.audit.act_descriptions import act_text
from projections.audit.descriptions import description_of, reason_of
from projections.audit.facility_descriptions import FACILITY_DESCRIPTIONS, program_text
from projections.audit.stream_log import StreamEntry, StreamLog, Subject

ActKind = Literal[
    "facility", "maintenance", "opt_out", "program", "access", "import", "alert", "override", "system"
]
ACT_KINDS: tuple[str, ...] = get_args(ActKind)
_KINDS: dict[ActKind, tuple[type[DomainEvent], ...]] = {
    "maintenance": (Facility.MaintenanceStarted, Facility.MaintenanceEnded),
    "opt_out": (Facility.OptedOut, Facility.OptedIn),
    "facility": (Facility.Event,),
    "program": (Program.Event,),
    "access": (
        AdministrativeAct.ApiKeyIssued,
        AdministrativeAct.ApiKeyRotated,
        AdministrativeAct.ApiKeyRevoked,
        AdministrativeAct.MeterLoginCreated,
        AdministrativeAct.MeterLoginRevoked,
    ),
    "import": (
        AdministrativeAct.HistoryImportBegun,
        AdministrativeAct.HistoryImported,
        AdministrativeAct.HistoryImportTakenBack,
        AdministrativeAct.PortfolioImportBegun,
        AdministrativeAct.PortfolioImported,
    ),
    "alert": (
        AdministrativeAct.AlertAcknowledged,
        AdministrativeAct.AlertCleared,
        AdministrativeAct.DeadLettersDecided,
    ),
    "override": (Dispatch.ForecastOverridden,),
    "system": (AdministrativeAct.Event,),
}
"""The first that fits counts."""
_OF_SUBJECTS = sorted(
    topic for topic in LISTED_TOPICS if issubclass(resolve_topic(topic), Facility.Event | Program.Event)
)
MOST_READ = 5_000
"""Entries that one read of a page looks at beyond those that it returns."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """An administrative act, or one change of a facility or a program."""

    position: int
    domain_event_id: UUID
    recorded_at: datetime
    kind: ActKind
    who: str
    """The actor: `operator:<key id>`, `operator:cli/<id>`, `worker:<name>`, `system`."""
    topic: str
    what: str
    """A sentence."""
    why: str | None = None
    """The reason given, if there is one."""
    facility_ids: tuple[str, ...] = ()
    """Those that it names; of an import the first hundred."""
    program_id: str | None = None
    dr_event_id: UUID | None = None
    correlation_id: UUID
    """One for the beginning and the end of an import, and for everything that it recorded."""
    causation_id: UUID
    """The command, or the domain event, that led to it."""
    trace_id: str


class Acts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of acts, the newest first."""

    acts: tuple[Act, ...]
    next_before: int | None = None
    """The position before which the next page begins; None on the last page."""


class ActFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The acts that are wanted."""

    kind: ActKind | None = None
    facility_id: str | None = None
    program_id: str | None = None
    only_this: bool = False
    """For whoever may see one facility or one program alone: nothing that names another facility beside it, and of a
    program nothing but its own stream."""

    @property
    def topics(self) -> list[str] | None:
        if self.kind is None:
            return None
        return sorted(topic for topic in LISTED_TOPICS if kind_of(resolve_topic(topic)) == self.kind)

    @property
    def subject(self) -> Subject | None:
        if self.facility_id is not None:
            return Subject(facility_stream_id(self.facility_id), self.facility_id)
        if self.program_id is not None:
            return Subject(program_stream_id(self.program_id), self.program_id)
        return None

    def fits(self, act: Act) -> bool:
        if self.facility_id is not None and self.facility_id not in act.facility_ids:
            return False
        if self.program_id is not None and act.program_id != self.program_id:
            return False
        if not self.only_this:
            return True
        return act.kind == "program" if self.facility_id is None else act.facility_ids == (self.facility_id,)


EVERY_ACT = ActFilter()


def kind_of(act: type[DomainEvent]) -> ActKind:
    return next(kind for kind, types in _KINDS.items() if issubclass(act, types))


def read_acts(log: StreamLog, *, before: int | None, limit: int, wanted: ActFilter = EVERY_ACT) -> Acts:
    """A page may have fewer acts than `limit`, though another one follows. Raises StreamLogUnavailable."""
    found: list[Act] = []
    read = 0
    while True:
        entries = log.acts(before=before, limit=limit + 1, topics=wanted.topics, about=wanted.subject)
        found += [act for act in described_acts(log, entries) if wanted.fits(act)]
        read += len(entries)
        if len(found) > limit:
            return Acts(acts=tuple(found[:limit]), next_before=found[limit - 1].position)
        if len(entries) <= limit:
            return Acts(acts=tuple(found))
        before = entries[-1].position
        if read > MOST_READ:
            return Acts(acts=tuple(found), next_before=before)


def described_acts(log: StreamLog, entries: Iterable[StreamEntry]) -> list[Act]:
    """In the order given. Raises StreamLogUnavailable."""
    shown = list(entries)
    subjects = subjects_of(log, shown)
    return [subjects.act_of(entry) for entry in shown]


def subjects_of(log: StreamLog, entries: Iterable[StreamEntry]) -> SubjectHistory:
    """The subjects of the facilities and programs in whose streams `entries` are. Raises StreamLogUnavailable."""
    streams = {
        entry.domain_event.originator_id
        for entry in entries
        if isinstance(entry.domain_event, Facility.Event | Program.Event)
    }
    return SubjectHistory.folded(log.entries_of(sorted(streams), topics=_OF_SUBJECTS) if streams else [])


class SubjectHistory(msgspec.Struct, frozen=True):
    """Facilities and programs, as their own streams tell."""

    names: Mapping[UUID, str]
    """Stream -> the id of the facility or program."""
    before: Mapping[int, Any]
    """Position -> the state that its domain event met; None at the beginning of a stream."""

    @classmethod
    def folded(cls, history: Sequence[StreamEntry]) -> SubjectHistory:
        """`history`: of each stream every domain event that people decided, from its beginning."""
        states: dict[UUID, Any] = {}
        before: dict[int, Any] = {}
        for entry in history:
            happened = entry.domain_event
            known = before[entry.position] = states.get(happened.originator_id)
            states[happened.originator_id] = state_after(known, happened)
        return cls({stream: _name_of(state) for stream, state in states.items()}, before)

    def act_of(self, entry: StreamEntry) -> Act:
        act = entry.domain_event
        return Act(
            position=entry.position,
            domain_event_id=act.domain_event_id,
            recorded_at=act.recorded_at,
            kind=kind_of(type(act)),
            who=act.actor,
            topic=get_topic(type(act)),
            what=self.text_of(entry),
            why=reason_of(act),
            facility_ids=self.facilities_of(act),
            program_id=self.program_of(act),
            dr_event_id=getattr(act, "dr_event_id", None),
            correlation_id=act.correlation_id,
            causation_id=act.causation_id,
            trace_id=act.trace_id,
        )

    def facilities_of(self, act: DomainEvent) -> tuple[str, ...]:
        """The facilities that it names, or whose stream it is of."""
        return (self._name_of(act),) if isinstance(act, Facility.Event) else _facilities_in(act)

    def program_of(self, act: DomainEvent) -> str | None:
        return self._name_of(act) if isinstance(act, Program.Event) else getattr(act, "program_id", None)

    def text_of(self, entry: StreamEntry) -> str:
        """A sentence, with what was in force before."""
        act, before = entry.domain_event, self.before.get(entry.position)
        if isinstance(act, Program.Event):
            return program_text(act, self._name_of(act), before)
        if isinstance(act, Facility.Event):
            name, describe = self._name_of(act), FACILITY_DESCRIPTIONS.get(type(act))
            return description_of(act, name) if describe is None else f"{name} {describe(act, before)}"
        return act_text(act)

    def _name_of(self, act: DomainEvent) -> str:
        return self.names.get(act.originator_id, "")


def _name_of(state: FacilityState | ProgramState) -> str:
    return state.facility_id if isinstance(state, FacilityState) else state.program_id


def _facilities_in(act: DomainEvent) -> tuple[str, ...]:
    if isinstance(act, AdministrativeAct.PersonalDataForgotten):
        return (act.subject_id,) if act.kind == "coordinates" else ()
    named: tuple[str, ...] | None = getattr(act, "facility_ids", None)
    one: str | None = getattr(act, "facility_id", None)
    if named is not None:
        return named
    return () if one is None else (one,)
