"""The document of a month's or season's capacity."""

from collections.abc import Sequence
from fractions import Fraction

from application.settlement.explained_lines import period_line
from application.settlement.shapes import (
    PeriodDocument,
    PeriodFacilityFigures,
    ProgramInputs,
    SettlementDocument,
)
from domain.settlement.period import period_named, settle_period
from domain.settlement.quantities import FacilityQuantities, UnitQuantities
from domain.settlement.rounding import decimal_text, exact
from domain.settlement.settle import Settlement


def period_document(
    program: ProgramInputs, period: str, settlements: Sequence[SettlementDocument]
) -> PeriodDocument:
    """`settlements`: those of the season so far, of any period. Raises InvalidPeriod."""
    rule = program.settlement
    found = settle_period(
        rule, period_named(period), [settlement_of(one) for one in settlements], program.enrolments
    )
    return PeriodDocument(
        period=period,
        program_id=program.program_id,
        program_version=program.version,
        currency=rule.currency,
        minor_unit=rule.minor_unit,
        capacity=rule.capacity,
        lines=tuple(period_line(rule, line) for line in found.lines),
        total=decimal_text(found.total, rule.minor_unit),
        facilities=tuple(
            PeriodFacilityFigures(
                facility_id=name,
                gross=decimal_text(one.gross, rule.minor_unit),
                net=decimal_text(one.net, rule.minor_unit),
            )
            for name, one in sorted(found.amounts.items())
        ),
    )


def settlement_of(document: SettlementDocument) -> Settlement:
    """The figures that a period needs, as the document writes them: nothing is settled again."""
    return Settlement(
        rule=document.inputs.program.settlement.of_kind(document.kind),
        dr_event=document.inputs.dr_event,
        step_s=document.step_s,
        reasons=document.reasons,
        facilities=tuple(
            FacilityQuantities(
                facility_id=one.facility_id,
                result=one.result,
                reason=one.reason,
                delivered_kwh=exact(one.delivered_kwh),
            )
            for one in document.facilities
        ),
        units=tuple(
            UnitQuantities(
                unit=one.unit,
                intervals=(),
                committed_kwh=exact(one.committed_kwh),
                counted_kwh=exact(one.counted_kwh),
                hours=Fraction(one.seconds, 3600),
                ratio=None if one.performance is None else exact(one.performance),
            )
            for one in document.units
        ),
        lines=(),
        amounts={},
    )
