"""The document of a settlement of which only some facilities changed: the others are not computed again."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from application.settlement.document import Figures, event_inputs, settlement_document
from application.settlement.flags import flags_of
from application.settlement.shapes import BaselineSummary, FacilityFigures, ProgramInputs, SettlementDocument
from domain.settlement.facility_energy import rounded_steps
from domain.settlement.quantities import ZERO, ratio_of, rounding_of
from domain.settlement.resettlement import Basis
from domain.settlement.rounding import Exact, exact
from domain.settlement.settle import Reason

LEFT_OUT_WITHOUT_STEPS = frozenset({"excused", "failed", "opted_out", "no_window"})
"""Such a facility has no steps in the document, and none are read of it."""


def renewed_document(
    earlier: SettlementDocument,
    basis: Basis,
    program: ProgramInputs,
    *,
    baselines: Mapping[str, BaselineSummary],
) -> SettlementDocument:
    """The document that `settlement_document` gives. At level `facility`, a facility whose inputs are those of
    `earlier` keeps its figures; a portfolio is computed as a whole. Raises as `settle`."""
    basis = msgspec.structs.replace(basis, dr_event=event_inputs(basis.dr_event))
    if not _by_facility(earlier, basis):
        return settlement_document(basis, program, baselines=baselines)
    same = _same_facilities(earlier, basis)
    part = settlement_document(_without(basis, same), program, baselines=baselines)
    return _joined(earlier, part, basis, same, baselines)


def _by_facility(earlier: SettlementDocument, basis: Basis) -> bool:
    """True if each facility of the same DR event is settled by itself, by the same rule."""
    old, new = earlier.inputs.dr_event, basis.dr_event
    return (
        basis.rule.level == "facility"
        and earlier.inputs.program.settlement == basis.rule
        and earlier.step_s == basis.step_s
        and new.status != "cancelled"
        and msgspec.structs.replace(old, facilities=()) == msgspec.structs.replace(new, facilities=())
    )


def _same_facilities(earlier: SettlementDocument, basis: Basis) -> dict[str, FacilityFigures]:
    """The facilities of `earlier` that have the same part in the DR event, and the same steps."""
    inputs = {one.facility_id: one for one in earlier.inputs.dr_event.facilities}
    figures = {one.facility_id: one for one in earlier.facilities}
    found = {}
    for facility in basis.dr_event.facilities:
        name = facility.facility_id
        before = figures.get(name)
        if before is None or inputs.get(name) != facility:
            continue
        if (
            before.reason in LEFT_OUT_WITHOUT_STEPS
            or rounded_steps(basis.rule, basis.steps.get(name, ())) == before.steps
        ):
            found[name] = before
    return found


def _without(basis: Basis, same: Mapping[str, FacilityFigures]) -> Basis:
    facilities = tuple(one for one in basis.dr_event.facilities if one.facility_id not in same)
    return msgspec.structs.replace(
        basis, dr_event=msgspec.structs.replace(basis.dr_event, facilities=facilities)
    )


def _joined(
    earlier: SettlementDocument,
    part: SettlementDocument,
    basis: Basis,
    same: Mapping[str, FacilityFigures],
    baselines: Mapping[str, BaselineSummary],
) -> SettlementDocument:
    unchanged = (_with_baseline(one, baselines.get(name)) for name, one in same.items())
    facilities = tuple(sorted([*unchanged, *part.facilities], key=lambda one: one.facility_id))
    units = sorted(
        [*(one for one in earlier.units if one.unit in same), *part.units], key=lambda one: one.unit
    )
    lines = sorted(
        [*(one for one in earlier.lines if one.unit in same), *part.lines], key=lambda one: one.unit
    )
    reasons = _reasons(facilities)
    rule = basis.rule.of_kind(part.kind)
    figures = Figures(rounding_of(rule))
    ratio = ratio_of(rule, _sum(one.counted_kwh for one in units), _sum(one.committed_kwh for one in units))
    document = msgspec.structs.replace(
        part,
        status="not_settled" if reasons else "settled",
        reasons=reasons,
        performance=None if ratio is None else figures.ratio(ratio),
        units=tuple(units),
        lines=tuple(lines),
        total=figures.money(_sum(line.amount for line in lines)),
        facilities=facilities,
        inputs=msgspec.structs.replace(part.inputs, dr_event=basis.dr_event),
    )
    return msgspec.structs.replace(document, flags=flags_of(document))


def _reasons(facilities: Sequence[FacilityFigures]) -> tuple[Reason, ...]:
    """Why nothing is settled; empty where a facility counts."""
    if not facilities:
        return ("no_facility",)
    why: list[Reason] = [one.reason for one in facilities if one.reason is not None]
    return tuple(dict.fromkeys(sorted(why))) if len(why) == len(facilities) else ()


def _with_baseline(facility: FacilityFigures, baseline: BaselineSummary | None) -> FacilityFigures:
    same = facility.baseline == baseline
    return facility if same else msgspec.structs.replace(facility, baseline=baseline)


def _sum(values: Iterable[str]) -> Exact:
    return sum(map(exact, values), ZERO)
