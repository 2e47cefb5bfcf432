"""Traced work: the trace, DR event and facility of what a process handles, for its log lines and its spans (ADR 0113).

Traces are those of the domain events, by their trace ids. The span that saves a domain event has an id that follows
from the event's id. So whatever the event causes, in any process and at any time, names it as its parent, and nothing
is stored or sent for it.

A span has names, ids and numbers only: no readings, no texts of requests, no messages of errors.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, Protocol, Self, TypedDict
from uuid import UUID

from eventsourcing.utils import get_topic
from structlog.contextvars import bound_contextvars

from application.command_bus.trace_context import TraceParent, span_id_of
from domain.dr_event import DREvent
from domain.event_sourcing.aggregate import Aggregate, DomainEvent

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = dict[str, str | int]
TracedWork = AbstractContextManager["OpenSpan | None"]


class Span(NamedTuple):
    """Work that has ended. Times are nanoseconds since 1970, on the wall."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    kind: SpanKind
    started_ns: int
    ended_ns: int
    attributes: Attributes
    error: str | None = None
    """The type of the error that ended it."""


class SpanRecorder(Protocol):
    """Where spans go. It never blocks and never raises: traced work does not depend on it."""

    def is_sampled(self, trace_id: str) -> bool:
        """True if spans of that trace are recorded. The same in every process whose spans arrive."""
        ...

    def now_ns(self) -> int: ...

    def record(self, span: Span) -> None: ...


class Tracing:
    """The recorder of this process. Like the log it is set once, at the start; without one nothing is recorded."""

    recorder: SpanRecorder | None = None

    def sampling(self, trace_id: str) -> SpanRecorder | None:
        recorder = self.recorder
        return recorder if recorder is not None and recorder.is_sampled(trace_id) else None


TRACING = Tracing()


class _Around(NamedTuple):
    """Work under way in this task or thread."""

    parent: TraceParent
    """Of what it causes."""
    is_recorded: bool


_current: ContextVar[_Around | None] = ContextVar("traced_work", default=None)


class OpenSpan:
    """Work that has not ended; `end` records it."""

    __slots__ = ("_begun", "_is_dropped", "_recorder")

    def __init__(self, recorder: SpanRecorder, begun: Span) -> None:
        self._recorder = recorder
        self._begun = begun
        self._is_dropped = False

    @property
    def span_id(self) -> str:
        return self._begun.span_id

    def now_ns(self) -> int:
        return self._recorder.now_ns()

    def note(self, **attributes: str | int) -> None:
        self._begun = self._begun._replace(attributes=self._begun.attributes | attributes_of(**attributes))

    def drop(self) -> None:
        """Do not record it."""
        self._is_dropped = True

    def end(self, error: BaseException | None = None, *, is_first: bool = True) -> None:
        """Not `is_first`: one of several attempts, whose id another one has."""
        if self._is_dropped:
            return
        span_id = self.span_id if is_first else new_span_id()
        failed = None if error is None else type(error).__name__
        self._recorder.record(self._begun._replace(span_id=span_id, ended_ns=self.now_ns(), error=failed))

    def add_saved(self, domain_events: Iterable[DomainEvent], *, since_ns: int) -> None:
        """A child for each domain event that was saved between `since_ns` and now."""
        for domain_event in domain_events:
            self._recorder.record(
                Span(
                    name=f"save {get_topic(type(domain_event))}",
                    trace_id=self._begun.trace_id,
                    span_id=span_id_of(domain_event.domain_event_id),
                    parent_id=self.span_id,
                    kind="internal",
                    started_ns=since_ns,
                    ended_ns=self.now_ns(),
                    attributes=attributes_of(**subject_of(domain_event)),
                )
            )


class SpanArguments(TypedDict):
    name: str
    trace_id: str
    parent_id: str
    dr_event: UUID | None
    facility: str | None


def open_span(
    name: str,
    trace_id: str,
    *,
    parent_id: str | None = None,
    span_id: str | None = None,
    kind: SpanKind = "internal",
    **about: UUID | str | int | None,
) -> OpenSpan | None:
    """A span that begins now, which the caller ends; None if the trace is not sampled."""
    recorder = TRACING.sampling(trace_id)
    if recorder is None:
        return None
    now_ns, attributes = recorder.now_ns(), attributes_of(**about)
    begun = Span(name, trace_id, span_id or new_span_id(), parent_id, kind, now_ns, now_ns, attributes)
    return OpenSpan(recorder, begun)


class SaveSpans:
    """The domain events of a command while they are saved."""

    __slots__ = ("_domain_events", "_since_ns", "_span")

    def __init__(self, span: OpenSpan | None, domain_events: Sequence[DomainEvent], since_ns: int) -> None:
        self._span, self._domain_events, self._since_ns = span, domain_events, since_ns

    @classmethod
    def begin(cls, span: OpenSpan | None, aggregates: Iterable[Aggregate[Any]]) -> Self:
        """Before the save, which takes the domain events from the aggregates."""
        if span is None:
            return cls(None, (), 0)
        pending: list[Any] = [one for aggregate in aggregates for one in aggregate.pending_events]
        return cls(span, pending, span.now_ns())

    def end(self) -> None:
        if self._span is not None:
            self._span.add_saved(self._domain_events, since_ns=self._since_ns)


@contextmanager
def traced(
    name: str,
    trace_id: str,
    *,
    parent_id: str | None = None,
    span_id: str | None = None,
    kind: SpanKind = "internal",
    dr_event: UUID | None = None,
    facility: str | None = None,
    **attributes: str | int,
) -> Iterator[OpenSpan | None]:
    """Handle work of a trace: log lines in the block name it, and it is a span if the trace is sampled (else None).

    Its parent is the recorded span around it, if that is of the same trace, and otherwise `parent_id`. `span_id` is
    that of what happens once: of several attempts at it, only the one that succeeds has it.
    """
    if (around := recorded_span()) is not None and around.trace_id == trace_id:
        parent_id = around.span_id
    about: dict[str, UUID | str | int | None] = {"dr_event": dr_event, "facility": facility, **attributes}
    span = open_span(name, trace_id, parent_id=parent_id, span_id=span_id, kind=kind, **about)
    inside = TraceParent(trace_id, span.span_id if span is not None else parent_id or new_span_id())
    token = _current.set(_Around(inside, is_recorded=span is not None))
    try:
        with logged(trace_id, dr_event=dr_event, facility=facility):
            yield span
    except BaseException as error:
        if span is not None:
            span.end(error, is_first=span_id is None)
        raise
    else:
        if span is not None:
            span.end()
    finally:
        _current.reset(token)


@contextmanager
def inner_span(name: str, *, kind: SpanKind = "internal", facility: str | None = None) -> Iterator[None]:
    """A part of the traced work around it; outside of traced work it is nothing."""
    around = _current.get()
    if around is None:
        yield
        return
    with traced(name, around.parent.trace_id, parent_id=around.parent.span_id, kind=kind, facility=facility):
        yield


@contextmanager
def logged(
    trace_id: str | None, *, dr_event: UUID | None = None, facility: str | None = None
) -> Iterator[None]:
    """Log lines in the block name the trace, the DR event and the facility, as far as they are given."""
    fields = {} if trace_id is None else {"trace_id": trace_id}
    if dr_event is not None:
        fields["dr_event"] = str(dr_event)
    if facility is not None:
        fields["facility"] = facility
    with bound_contextvars(**fields):
        yield


def recorded_span() -> TraceParent | None:
    """The span around this call, if it is recorded."""
    around = _current.get()
    return around.parent if around is not None and around.is_recorded else None


def outgoing_traceparent() -> TraceParent | None:
    """The trace that a call to somebody else carries, whether or not spans are recorded; None outside of traced
    work."""
    around = _current.get()
    return None if around is None else around.parent


class Subject(TypedDict):
    """The subject of a domain event, as `traced` and `logged` take it."""

    dr_event: UUID | None
    facility: str | None


def subject_of(domain_event: DomainEvent) -> Subject:
    of_dispatch = getattr(domain_event, "dr_event_id", None)
    dr_event = domain_event.originator_id if isinstance(domain_event, DREvent.Event) else of_dispatch
    return {"dr_event": dr_event, "facility": getattr(domain_event, "facility_id", None)}


def attributes_of(**given: UUID | str | int | None) -> dict[str, str | int]:
    """The attributes that are given, under their names in a span."""
    return {
        f"gridproof.{name}": value if isinstance(value, int) else str(value)
        for name, value in given.items()
        if value is not None
    }


def new_span_id() -> str:
    return secrets.token_hex(8)


def new_trace_id() -> str:
    """The trace id of work that nothing traced has caused."""
    return secrets.token_hex(16)
