"""A later revision of a settlement's document."""

import msgspec

from application.settlement.document import basis_of, digest_of
from application.settlement.flags import flags_of
from application.settlement.shapes import (
    BaselineSummary,
    ChangeFigures,
    FacilityFigures,
    ReasonFigures,
    ResettlementFigures,
    SettlementDocument,
)
from domain.settlement.resettlement import Basis, resettlement_of
from domain.settlement.rounding import decimal_text


def resettled_document(previous: SettlementDocument, new: SettlementDocument) -> SettlementDocument | None:
    """`new` as the revision after `previous`, with what changed and why; None: the same figures. Raises
    CurrencyChanged."""
    if same_figures(previous, new):
        return None
    figures = resettlement_figures(
        basis_of(previous),
        basis_of(new),
        of_revision=previous.revision,
        of_digest=digest_of(previous),
    )
    facilities = {one.facility_id: one for one in previous.facilities}
    revised = msgspec.structs.replace(
        new,
        revision=previous.revision + 1,
        facilities=tuple(_marked(one, facilities.get(one.facility_id)) for one in new.facilities),
        resettlement=figures,
    )
    return msgspec.structs.replace(revised, flags=flags_of(revised))


def resettlement_figures(old: Basis, new: Basis, *, of_revision: int, of_digest: str) -> ResettlementFigures:
    """The changes, and their reasons. Raises CurrencyChanged."""
    found = resettlement_of(old, new)
    places = max(old.rule.minor_unit, new.rule.minor_unit)
    return ResettlementFigures(
        of_revision=of_revision,
        of_digest=of_digest,
        changes=tuple(
            ChangeFigures(
                unit=one.unit,
                component=one.component,
                old=decimal_text(one.old, places),
                new=decimal_text(one.new, places),
                difference=decimal_text(one.difference, places),
            )
            for one in found.changes
        ),
        by_reason=tuple(
            ReasonFigures(why=one.why, amount=decimal_text(one.amount, places)) for one in found.by_reason
        ),
        difference=decimal_text(found.difference, places),
    )


def same_figures(one: SettlementDocument, other: SettlementDocument) -> bool:
    """True if both say the same of energy and money; the steps that are behind it too."""
    return _figures(one) == _figures(other)


def _figures(document: SettlementDocument) -> tuple[object, ...]:
    facilities = tuple(msgspec.structs.replace(one, baseline=None) for one in document.facilities)
    lines = tuple((line.unit, line.component, line.amount, line.note) for line in document.lines)
    return (document.currency, document.status, document.reasons, document.units, lines, facilities)


def _marked(facility: FacilityFigures, earlier: FacilityFigures | None) -> FacilityFigures:
    """With `late_readings` where its meter changed since the revision before, or since an earlier one."""
    if earlier is None:
        return facility
    late = earlier.baseline is not None and earlier.baseline.late_readings
    if not late and not _meter_changed(earlier, facility):
        return facility
    baseline = facility.baseline or BaselineSummary(method="")
    return msgspec.structs.replace(facility, baseline=msgspec.structs.replace(baseline, late_readings=True))


def _meter_changed(earlier: FacilityFigures, facility: FacilityFigures) -> bool:
    before = {step.starts_at: step.metered_kw for step in earlier.steps}
    return any(before.get(step.starts_at, step.metered_kw) != step.metered_kw for step in facility.steps)
