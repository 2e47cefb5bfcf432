"""The document of a month's or season's capacity."""

from collections.abc import Sequence

from application.settlement.document import basis_of
from application.settlement.explained_lines import period_line
from application.settlement.shapes import (
    PeriodDocument,
    PeriodFacilityFigures,
    ProgramInputs,
    SettlementDocument,
)
from domain.settlement.period import period_named, settle_period
from domain.settlement.rounding import decimal_text


def period_document(
    program: ProgramInputs, period: str, settlements: Sequence[SettlementDocument]
) -> PeriodDocument:
    """`settlements`: those of the season so far, of any period. Raises InvalidPeriod."""
    rule, parsed = program.settlement, period_named(period)
    found = settle_period(
        rule, parsed, [basis_of(one).settlement() for one in settlements], program.enrolments
    )
    paid_per = "" if rule.capacity is None else rule.capacity.unit
    units = {"kw-day": parsed.days, "kw-month": parsed.months}.get(paid_per, 1)
    return PeriodDocument(
        period=period,
        program_id=program.program_id,
        program_version=program.version,
        currency=rule.currency,
        minor_unit=rule.minor_unit,
        capacity=rule.capacity,
        lines=tuple(period_line(rule, line, units) for line in found.lines),
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
