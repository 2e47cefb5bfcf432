"""The context of a decision: the time, the provenance, and the aggregates that a handler may load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cached_property
from math import inf
from secrets import randbelow
from typing import Any
from uuid import UUID

import msgspec

from application.command_bus.spans import recorded_span
from application.command_bus.trace_context import TraceParent
from application.ports.clock import Clock
from application.ports.event_store.event_store import EventStreams, TAggregate
from application.ports.forecast.forecast_book import ForecastBook
from application.ports.public_holidays import PublicHolidays
from application.ports.settlement.documents import SettlementDocuments
from domain.dispatch import Dispatch
from domain.dr_event import DREvent
from domain.errors import UnknownDispatch, UnknownDREvent
from domain.event_sourcing.aggregate import Aggregate, Provenance
from domain.facility import Facility
from domain.identifiers import dispatch_id, facility_stream_id, program_stream_id
from domain.program import Program


class CommandContext(msgspec.Struct, frozen=True, kw_only=True):
    """The origin of a command; it becomes the provenance of its domain events."""

    correlation_id: UUID
    causation_id: UUID
    actor: str
    tenant: str | None
    trace_id: str
    given_in: TraceParent | None = msgspec.field(default_factory=recorded_span)
    """The span in which the command is given. It is not stored."""


def provenance_of(context: CommandContext, now: datetime) -> Provenance:
    """The provenance of domain events of a command at `now`."""
    return Provenance(
        correlation_id=context.correlation_id,
        causation_id=context.causation_id,
        actor=context.actor,
        tenant=context.tenant,
        trace_id=context.trace_id,
        recorded_at=now,
    )


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """An idempotency key: (utility, route) as scope, the caller's key, and a hash of the body."""

    scope: str
    key: str
    body_hash: str = ""


class Decision:
    """The decision of a handler: the aggregates to save together, and the reply."""

    def __init__(self, *aggregates: Aggregate[Any], reply: Any = None) -> None:
        self.aggregates: Sequence[Aggregate[Any]] = aggregates
        self.reply = reply


def _drawn(most_s: int) -> int:
    return randbelow(most_s + 1)


def _nothing_measured(facility_ids: Sequence[str], at: datetime) -> frozenset[str]:
    return frozenset()


class DecisionContext:
    """The argument of a handler; new for each attempt.

    The time is taken at its first use, after the aggregates were loaded, so that a decision is never dated
    before the facts that it is based on.
    """

    def __init__(
        self,
        *,
        store: EventStreams,
        clock: Clock,
        context: CommandContext,
        forecasts: ForecastBook,
        accurate_without_weather: Callable[[Sequence[str], datetime], frozenset[str]] = _nothing_measured,
        command_sla_s: float | None = None,
        maximum_lead_s: float = inf,
        draw_s: Callable[[int], int] = _drawn,
        public_holidays: PublicHolidays | None = None,
        settlements: SettlementDocuments | None = None,
    ) -> None:
        self.store = store
        self.forecasts = forecasts
        self.command_sla_s = command_sla_s
        """As the settings say; None: the default of the time limits."""
        self.maximum_lead_s = maximum_lead_s
        """How far ahead a DR event may start, as the settings say."""
        self.draw_s = draw_s
        """Draws a random whole number of seconds from 0 to its argument. Drawn numbers are recorded."""
        self.public_holidays = public_holidays
        """None: no day is a public holiday."""
        self._settlements = settlements
        self._accurate_without_weather = accurate_without_weather
        self._clock = clock
        self._context = context

    @cached_property
    def now(self) -> datetime:
        return self._clock.now()

    @cached_property
    def provenance(self) -> Provenance:
        """The provenance of every domain event of this decision."""
        return provenance_of(self._context, self.now)

    @property
    def settlements(self) -> SettlementDocuments:
        """Raises LookupError where the process has none."""
        if self._settlements is None:
            raise LookupError("this process settles nothing: it has no documents of settlements")
        return self._settlements

    def accurate_without_weather(self, facility_ids: Iterable[str]) -> frozenset[str]:
        """The facilities whose forecasts without weather were measured to be as accurate as with it."""
        return self._accurate_without_weather(tuple(facility_ids), self.now)

    def facility(self, facility_id: str) -> Facility | None:
        return self._load(Facility, facility_stream_id(facility_id))

    def facilities(self, facility_ids: Iterable[str]) -> dict[str, Facility]:
        """The facilities that exist, in the order given, all loaded at one moment."""
        by_stream = {facility_stream_id(facility_id): facility_id for facility_id in facility_ids}
        found = self.store.load_many(Facility, list(by_stream))
        return {by_stream[stream_id]: facility for stream_id, facility in found.items()}

    def program(self, program_id: str) -> Program | None:
        return self._load(Program, program_stream_id(program_id))

    def find_dr_event(self, dr_event_id: UUID) -> DREvent | None:
        return self._load(DREvent, dr_event_id)

    def dr_event(self, dr_event_id: UUID) -> DREvent:
        found = self.find_dr_event(dr_event_id)
        if found is None:
            raise UnknownDREvent(f"no DR event {dr_event_id}; list them with `gridproof dr-events list`")
        return found

    def dispatch(self, dr_event_id: UUID, facility_id: str) -> Dispatch:
        found = self._load(Dispatch, dispatch_id(dr_event_id, facility_id))
        if found is None:
            raise UnknownDispatch(f"{facility_id} has no dispatch in DR event {dr_event_id}")
        return found

    def dispatches(self, dr_event_id: UUID, facility_ids: Iterable[str]) -> dict[str, Dispatch]:
        """The dispatch of each facility, in the order given, all loaded at one moment.

        Raises UnknownDispatch where one is missing.
        """
        streams = {facility_id: dispatch_id(dr_event_id, facility_id) for facility_id in facility_ids}
        found = self.store.load_many(Dispatch, list(streams.values()))
        missing = [facility_id for facility_id, stream_id in streams.items() if stream_id not in found]
        if missing:
            raise UnknownDispatch(f"{missing[0]} has no dispatch in DR event {dr_event_id}")
        return {facility_id: found[stream_id] for facility_id, stream_id in streams.items()}

    def _load(self, kind: type[TAggregate], stream_id: UUID) -> TAggregate | None:
        return self.store.load_many(kind, [stream_id]).get(stream_id)
