"""A worked example of a rule: the two-hour DR event of the table in docs/settlement.md."""

from datetime import datetime, timedelta
from math import gcd

from application.settlement.document import settlement_document
from application.settlement.period import period_document
from application.settlement.shapes import PeriodDocument, ProgramInputs, SettlementDocument
from domain.program import BaselineTerms, SettlementRule
from domain.settlement.inputs import EndedEvent, EventFacility, MeteringStep, Price
from domain.settlement.resettlement import Basis

STARTS_AT = datetime.fromisoformat("2026-07-14T18:00:00+00:00")
HOUR_S = 3600
HOURS = 2
LEVEL_KW = "500.000"
"""Stands for the baseline of both facilities."""
COMMITTED_KW = {"f1": "100", "f2": "50"}
"""Enrolled, too."""
METERED_KW = {"f1": ("400.000", "420.000"), "f2": ("460.000", "505.000")}
"""Of each hour: f1 delivers 100 and 80 kW, f2 delivers 40 and -5 kW."""
PRICES = ("0.18", "0.025")
IN_WORDS = (
    "a DR event of two hours; f1 committed 100 kW and delivers 100 and 80 kW, f2 committed 50 kW and delivers 40 and "
    "-5 kW; prices 0.18 and 0.025 per kWh; enrolled as committed"
)


def example_of(rule: SettlementRule, kind: str) -> SettlementDocument:
    """The settlement of the example as a DR event of that kind."""
    step_s = gcd(HOUR_S, rule.interval_s)
    starts = range(0, HOURS * HOUR_S, step_s)
    steps = {
        name: [
            MeteringStep(
                starts_at=STARTS_AT + timedelta(seconds=at),
                adjusted_kw=LEVEL_KW,
                metered_kw=metered[at // HOUR_S],
            )
            for at in starts
        ]
        for name, metered in METERED_KW.items()
    }
    prices = tuple(
        Price(starts_at=STARTS_AT + timedelta(seconds=at), per_kwh=PRICES[at // HOUR_S])
        for at in range(0, HOURS * HOUR_S, rule.interval_s)
    )
    dr_event = EndedEvent(
        dr_event_id="example",
        program_id="example",
        kind=kind,
        starts_at=STARTS_AT,
        ends_at=STARTS_AT + timedelta(hours=HOURS),
        prices=prices,
        facilities=tuple(
            EventFacility(facility_id=name, committed_kw=kw) for name, kw in COMMITTED_KW.items()
        ),
    )
    basis = Basis(rule=rule, dr_event=dr_event, steps=steps, step_s=step_s)
    return settlement_document(basis, _program(rule))


def example_month(rule: SettlementRule) -> PeriodDocument:
    """The month of the example, with that DR event alone; of a season's capacity, June to September."""
    season = rule.capacity is not None and rule.capacity.unit == "kw-season"
    return period_document(
        _program(rule), "2026-06/2026-09" if season else "2026-07", [example_of(rule, "event")]
    )


def _program(rule: SettlementRule) -> ProgramInputs:
    return ProgramInputs(
        program_id="example",
        baseline=BaselineTerms(method="firm-service-level"),
        enrolments=COMMITTED_KW,
        settlement=rule,
    )
