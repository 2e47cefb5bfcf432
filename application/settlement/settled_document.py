"""The document of a DR event's settlement, from the states that the log gives."""

from datetime import date
from hashlib import sha256

import msgspec

from application.settlement.document import settlement_document
from application.settlement.renewal import renewed_document
from application.settlement.settled_event import Dispatches, digest_of_rule
from application.settlement.shapes import (
    AdjustmentSummary,
    BaselineSummary,
    ProgramInputs,
    SettlementDocument,
)
from domain.dispatch import DispatchState
from domain.dr_event import SettlementFigures
from domain.program import SettlementRule, Terms
from domain.settlement.resettlement import Basis, final_at


class AgreedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a program, and its rule."""

    version: int
    terms: Terms
    rule: SettlementRule


def document_of_basis(
    basis: Basis, agreed: AgreedRule, dispatches: Dispatches, *, earlier: SettlementDocument | None = None
) -> SettlementDocument:
    """The document as a first revision; facilities that are the same in an earlier one are not computed again.

    Raises as `settle`.
    """
    program = ProgramInputs(
        program_id=basis.dr_event.program_id,
        version=agreed.version,
        baseline=agreed.terms.baseline,
        holidays=_holidays(agreed.terms, dispatches),
        settlement=agreed.rule,
    )
    baselines = {facility_id: _baseline(dispatch) for facility_id, dispatch in dispatches.items()}
    if earlier is None:
        return settlement_document(basis, program, baselines=baselines)
    return renewed_document(earlier, basis, program, baselines=baselines)


def figures_of(
    document: SettlementDocument, agreed: AgreedRule, *, inputs_digest: str, digest: str
) -> SettlementFigures:
    """The figures that the log records of a document with that digest."""
    return SettlementFigures(
        status=document.status,
        reasons=document.reasons,
        program_id=document.program_id,
        program_version=agreed.version,
        rule_digest=digest_of_rule(agreed.rule),
        currency=document.currency,
        total=document.total if document.status == "settled" else None,
        inputs_digest=inputs_digest,
        digest=digest,
        final_at=final_at(agreed.rule, document.ends_at),
    )


def figures_without_document(program_id: str, version: int, reasons: tuple[str, ...]) -> SettlementFigures:
    """The figures of a DR event for which nothing can be computed."""
    return SettlementFigures(
        status="not_settled",
        reasons=reasons,
        program_id=program_id,
        program_version=version,
        rule_digest=None,
        currency=None,
        total=None,
        inputs_digest=sha256(msgspec.json.encode([version, reasons])).hexdigest(),
        digest=None,
    )


def _holidays(terms: Terms, dispatches: Dispatches) -> tuple[date, ...]:
    """The holidays of the program, else the holidays of the facilities' regions that their baselines regarded."""
    if terms.holidays is not None:
        return terms.holidays
    loads = (dispatch.measured_load for dispatch in dispatches.values())
    return tuple(sorted({day for load in loads if load is not None for day in load.holidays}))


def _baseline(dispatch: DispatchState) -> BaselineSummary:
    load = dispatch.measured_load
    if load is None:
        return BaselineSummary(method="", impossible=dispatch.not_measurable_reason or "")
    adjustment = load.adjustment
    return BaselineSummary(
        method=load.method,
        parameters=dispatch.baseline_parameters,
        days=load.days,
        days_considered=load.days_considered,
        adjustment=AdjustmentSummary(
            kind=adjustment.kind,
            value=adjustment.value,
            raw=adjustment.raw,
            clipped=adjustment.clipped,
            starts_at=adjustment.starts_at,
            ends_at=adjustment.ends_at,
            baseline_kw=adjustment.baseline_kw,
            metered_kw=adjustment.metered_kw,
            note=adjustment.note,
        ),
        late_readings=dispatch.measurements > 1,
        domain_event_id=str(load.domain_event_id),
    )
