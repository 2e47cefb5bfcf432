"""A sealed ledger in memory whose DR event was measured from stored quarter-hours and settled, for tests of proofs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from math import fsum
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from application.command_bus.decision_context import CommandContext, Decision, DecisionContext
from application.commands.dr_event import SettleDREvent, SettlementOutcome
from application.handlers.settlement import settle_dr_event
from application.ports.event_store.event_store import StreamNotFound, TAggregate
from application.settlement.document import canonical_bytes, read_document
from application.settlement.shapes import SettlementDocument
from domain.dispatch import Dispatch
from domain.dr_event import DREvent, SettlementFigures
from domain.identifiers import dispatch_id, program_stream_id
from domain.program import Program
from domain.program.settlement_rule import Capacity, Energy, Performance, SettlementRule, Tier
from tests.fakes.clock import FakeClock
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.measured_portfolio import MeasuredPortfolio, measured_portfolio, quarter_at, store_quarters
from tests.property.projections.projected_logs import PortfolioWalk

RULE = SettlementRule(
    currency="USD",
    energy=Energy(rate="1.50"),
    capacity=Capacity(rate="4.00", unit="kw-event", tiers=(Tier(from_="0", a="0", b="1"),)),
    performance=Performance(places=2, max="1"),
)
Change = Callable[[SettlementDocument], SettlementDocument]
CORRECTED_DAY = date(2026, 7, 14)


class WalkStreams:
    """The aggregates of a walk, as its domain events give them."""

    def __init__(self, walk: PortfolioWalk) -> None:
        self._walk = walk

    def load(self, _aggregate_class: type[TAggregate], stream_id: UUID) -> TAggregate:
        aggregate: Any = None
        for entry in self._walk.entries:
            if entry.domain_event.originator_id == stream_id:
                aggregate = entry.domain_event.mutate(aggregate)
        if aggregate is None:
            raise StreamNotFound(str(stream_id))
        loaded: TAggregate = aggregate
        return loaded

    def load_many(
        self, aggregate_class: type[TAggregate], stream_ids: Sequence[UUID]
    ) -> dict[UUID, TAggregate]:
        known = {entry.domain_event.originator_id for entry in self._walk.entries}
        return {one: self.load(aggregate_class, one) for one in stream_ids if one in known}


def settled_portfolio(rule: SettlementRule | None = RULE, **options: Any) -> MeasuredPortfolio:
    """Recorded, and not sealed yet. `options` are those of `measured_portfolio`."""
    portfolio = measured_portfolio(settlement=rule, **options)
    settle(portfolio)
    return portfolio


def settle(
    portfolio: MeasuredPortfolio, why: str = "every facility is measured", *, by_newest_rule: bool = False
) -> SettlementOutcome:
    """By the handler of the running system."""
    decision = decided(portfolio, why, by_newest_rule)
    portfolio.walk.save(*decision.aggregates)
    portfolio.record()
    outcome = decision.reply
    assert isinstance(outcome, SettlementOutcome)
    return outcome


def decided(portfolio: MeasuredPortfolio, why: str, by_newest_rule: bool = False) -> Decision:
    walk = portfolio.walk
    provenance = walk.provenance(actor="worker:compute")
    context = DecisionContext(
        store=WalkStreams(walk),
        clock=FakeClock(provenance.recorded_at),
        context=CommandContext(
            correlation_id=provenance.correlation_id,
            causation_id=provenance.causation_id,
            actor=provenance.actor,
            tenant=provenance.tenant,
            trace_id=provenance.trace_id,
        ),
        forecasts=FakeForecastBook(),
        settlements=portfolio.documents,
    )
    command = SettleDREvent(dr_event_id=portfolio.dr_event_id, why=why, by_newest_rule=by_newest_rule)
    return settle_dr_event(command, context)


def resettled_portfolio(**options: Any) -> MeasuredPortfolio:
    """With a correction of two quarter-hours of the window, and the second revision that follows from it."""
    portfolio = settled_portfolio(**options)
    correct(portfolio)
    settle(portfolio, "readings were corrected")
    return portfolio


def correct(portfolio: MeasuredPortfolio) -> None:
    """Two quarter-hours of the window are replaced; the facility is measured again, and the DR event summed."""
    correct_facility(portfolio)
    walk = portfolio.walk
    streams = [one.id for one in walk.dispatches_of(walk.dr_events[0])]
    dispatches = WalkStreams(walk).load_many(Dispatch, streams)
    dr_event = WalkStreams(walk).load(DREvent, portfolio.dr_event_id)
    dr_event.remeasure(
        walk.provenance(actor="saga:dispatch", cause=True),
        delivered_kw=fsum(one.state.delivered_kw or 0.0 for one in dispatches.values()),
        measured_facilities=len(dispatches),
        unmeasured_facilities=(),
    )
    walk.save(dr_event)
    portfolio.record()


def correct_facility(portfolio: MeasuredPortfolio, kw: float = 400.0) -> None:
    walk = portfolio.walk
    store_quarters(walk.telemetry, "fac-002", quarter_at(CORRECTED_DAY, 12), [kw, kw])
    dispatch = WalkStreams(walk).load(Dispatch, dispatch_id(portfolio.dr_event_id, "fac-002"))
    dispatch.remeasure(
        walk.provenance(actor="worker:compute"),
        corrected_at=walk.now,
        reason="readings were corrected",
        figures=walk.figures_of(dispatch),
    )
    walk.save(dispatch)
    portfolio.record()


def agree_rule(portfolio: MeasuredPortfolio, rule: SettlementRule) -> None:
    """A new version of the terms with that rule."""
    walk = portfolio.walk
    program = WalkStreams(walk).load(Program, program_stream_id("summer-peak"))
    terms = program.state.terms
    assert terms is not None
    program.agree_terms(walk.provenance(actor="operator:key-1"), terms=replace(terms, settlement=rule))
    walk.save(program)
    portfolio.record()


def record_instead(
    portfolio: MeasuredPortfolio,
    change: Change = lambda document: document,
    written: Callable[[bytes], bytes] = lambda content: content,
    **figures: Any,
) -> None:
    """What a lying operator signs: the settlement that is due with a changed document and other figures."""
    walk = portfolio.walk
    dr_event = WalkStreams(walk).load(DREvent, portfolio.dr_event_id)
    outcome = decided(portfolio, "").reply
    assert outcome.figures.digest is not None
    stored = portfolio.documents.find(portfolio.dr_event_id, outcome.figures.digest)
    assert stored is not None
    document = change(read_document(stored))
    content = written(canonical_bytes(document))
    digest = portfolio.documents.add(portfolio.dr_event_id, content, revision=document.revision)
    recorded: SettlementFigures = replace(
        outcome.figures, **({"total": document.total, "digest": digest} | figures)
    )
    dr_event.settle(
        walk.provenance(actor="worker:compute"), figures=recorded, why="every facility is measured"
    )
    walk.save(dr_event)
    portfolio.record()
