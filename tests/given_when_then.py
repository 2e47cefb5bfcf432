"""given(domain_events).when(command).then(domain_events): a test of one decision of the write side.

    given(facility.collect_events()).when(StartMaintenance(...)).then(fact(Facility.MaintenanceStarted, reason="..."))

`then` requires the exact number, order and kinds of domain events, and compares the fields that are given.
Commands run through the real command bus and handlers, on a FakeEventStore.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import msgspec

from application.command_bus.bus import CommandBus
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.handlers import HANDLERS
from domain.errors import DomainError
from domain.event_sourcing.aggregate import DomainEvent
from domain.forecast import Forecast
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.fakes.public_holidays import FakePublicHolidays
from tests.fakes.settlement.documents import FakeSettlementDocuments
from tests.sample_values import CONTEXT


@dataclass(frozen=True)
class Fact:
    """A kind of domain event, and some of its expected fields."""

    kind: type[DomainEvent]
    fields: dict[str, Any]

    def differences(self, domain_event: DomainEvent) -> dict[str, tuple[Any, Any]]:
        found = {name: getattr(domain_event, name) for name in self.fields}
        return {name: (found[name], value) for name, value in self.fields.items() if found[name] != value}


def fact(kind: type[DomainEvent], /, **fields: Any) -> Fact:
    return Fact(kind, fields)


@dataclass
class Outcome:
    """The result of a command."""

    scenario: Scenario
    recorded: Sequence[DomainEvent]
    reply: Any
    refusal: DomainError | None

    def then(self, *expected: Fact) -> Self:
        """Exactly these domain events, in this order; without arguments: the command recorded nothing."""
        if self.refusal is not None:
            raise AssertionError(f"refused: {self.refusal!r}") from self.refusal
        assert [type(e).__qualname__ for e in self.recorded] == [f.kind.__qualname__ for f in expected]
        for wanted_fact, domain_event in zip(expected, self.recorded, strict=True):
            assert isinstance(domain_event, wanted_fact.kind)
            assert wanted_fact.differences(domain_event) == {}, domain_event
        return self

    def refused(self, kind: type[DomainError], *, saying: str = "") -> None:
        """Refused with that error, and nothing recorded."""
        assert type(self.refusal) is kind
        assert saying in str(self.refusal)
        assert list(self.recorded) == []


@dataclass
class Scenario:
    """The write side in memory at one moment."""

    store: FakeEventStore = field(default_factory=FakeEventStore)
    clock: FakeClock = field(default_factory=FakeClock)
    forecasts: FakeForecastBook = field(default_factory=FakeForecastBook)
    accurate_without_weather: set[str] = field(default_factory=set)
    """Facilities whose forecasts without weather were measured to be as accurate."""
    accuracy_asked_of: list[tuple[str, ...]] = field(default_factory=list)
    """The facilities of each look at that."""
    settlements: FakeSettlementDocuments = field(default_factory=FakeSettlementDocuments)
    bus: CommandBus = field(init=False)

    def __post_init__(self) -> None:
        self.bus = CommandBus(
            self.store,
            self.clock,
            HANDLERS,
            forecasts=self.forecasts,
            accurate_without_weather=self._accurate,
            public_holidays=FakePublicHolidays(),
            settlements=self.settlements,
        )

    def _accurate(self, facility_ids: Sequence[str], _at: datetime) -> frozenset[str]:
        self.accuracy_asked_of.append(tuple(facility_ids))
        return frozenset(facility_ids) & self.accurate_without_weather

    def at(self, moment: datetime) -> Self:
        """Set the clock to `moment`."""
        self.clock.moment = moment
        return self

    def with_forecasts(self, *issued: Forecast) -> Self:
        for forecast in issued:
            self.forecasts.note(forecast)
        return self

    def after(self, *commands: msgspec.Struct) -> Self:
        """Execute these commands first."""
        for command in commands:
            self.bus.handle(command, CONTEXT)
        return self

    def when(
        self,
        command: msgspec.Struct,
        *,
        context: CommandContext = CONTEXT,
        key: IdempotencyKey | None = None,
        reply_type: type[Any] | None = None,
    ) -> Outcome:
        before, reply, refusal = self.store.head(), None, None
        try:
            reply = self.bus.handle(command, context, key=key, reply_type=reply_type)
        except DomainError as error:
            refusal = error
        return Outcome(self, self.store.domain_events[before:], reply, refusal)


def given(domain_events: Iterable[DomainEvent] = ()) -> Scenario:
    """A scenario that begins with the given domain events."""
    scenario = Scenario()
    scenario.store.append(list(domain_events))
    return scenario
