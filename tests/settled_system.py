"""A DR event over two facilities that ran in an `InProcessSystem`, and its measurements by quarter-hours."""

from datetime import datetime, timedelta
from typing import Any

from application.commands.dispatch import RecordMeasurement, RecordRemeasurement
from application.commands.dr_event import MeasureDREvent, SettleDREvent
from application.settlement.document import read_document
from application.settlement.shapes import SettlementDocument
from domain.baseline import BaselineParameters
from domain.dispatch import Interval, MeasurementFigures
from domain.program.settlement_rule import Energy, SettlementRule
from tests.in_process_system import InProcessSystem
from tests.measured_figures import figures
from tests.sample_values import DR_EVENT_ID, ENDS_AT, STARTS_AT

RULE = SettlementRule(currency="USD", energy=Energy(rate="1.50"))
SETTLE = SettleDREvent(dr_event_id=DR_EVENT_ID, why="every facility is measured")
MEASURE = MeasureDREvent(dr_event_id=DR_EVENT_ID)
TZ = "America/New_York"
QUARTER = timedelta(minutes=15)


def load_figures(
    metered_kw: float, *, until: datetime = ENDS_AT, data_hash: str = "a", **changes: Any
) -> MeasurementFigures:
    """A measurement against a baseline of 500 kW."""
    steps = (until - STARTS_AT) // QUARTER
    intervals = tuple(
        Interval(
            starts_at=STARTS_AT + QUARTER * number,
            baseline_kw=500.0,
            adjusted_kw=500.0,
            metered_kw=metered_kw,
            delivered_kw=500.0 - metered_kw,
        )
        for number in range(steps)
    )
    values: dict[str, Any] = {"parameters": BaselineParameters(), "tz": TZ, "intervals": intervals}
    return figures(500.0 - metered_kw, data_hash, **(values | changes))


def measured_as(facility_id: str, metered_kw: float, **changes: Any) -> RecordMeasurement:
    return RecordMeasurement(
        dr_event_id=DR_EVENT_ID, facility_id=facility_id, figures=load_figures(metered_kw, **changes)
    )


def corrected_to(facility_id: str, metered_kw: float, *, data_hash: str = "b") -> RecordRemeasurement:
    return RecordRemeasurement(
        dr_event_id=DR_EVENT_ID,
        facility_id=facility_id,
        figures=load_figures(metered_kw, data_hash=data_hash),
        corrected_at=ENDS_AT + timedelta(hours=1),
        reason="readings were corrected",
    )


def completed(rule: SettlementRule | None = RULE, **details: Any) -> InProcessSystem:
    """The two facilities shed 50 kW each by the plan, for two hours."""
    terms = {"settlement": rule, **details.pop("terms", {})}
    return InProcessSystem.accepted("fac-001", "fac-002", terms=terms, **details).until("completed")


def measured(rule: SettlementRule | None = RULE, **details: Any) -> InProcessSystem:
    """They shed 60 and 40 kW: 200 kWh."""
    there = completed(rule, **details)
    there.scenario.after(measured_as("fac-001", 440.0), measured_as("fac-002", 460.0), MEASURE)
    return there


def document_of(there: InProcessSystem, digest: str | None) -> SettlementDocument:
    assert digest is not None
    written = there.scenario.settlements.find(DR_EVENT_ID, digest)
    assert written is not None
    return read_document(written)


def in_force(there: InProcessSystem) -> SettlementDocument:
    assert there.dr_event.settlement is not None
    return document_of(there, there.dr_event.settlement.figures.digest)
