"""What-if in money: a settlement beside the one by another rule, another baseline, or without a facility.

Pure; what comes out is never recorded. All that is not altered stays as it was: the others' commitments and meters too,
where a facility is left out.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from application.settlement.document import settlement_document
from application.settlement.resettled import resettlement_figures
from application.settlement.settled_event import NO_RULE
from application.settlement.shapes import (
    ChangeFigures,
    FacilityFigures,
    LineFigures,
    ProgramInputs,
    ReasonFigures,
    SettlementDocument,
)
from domain.program import SettlementRule
from domain.settlement.inputs import EndedEvent
from domain.settlement.lines import PriceMissing
from domain.settlement.resettlement import Basis, CurrencyChanged
from domain.settlement.rounding import decimal_text, exact
from domain.settlement.settle import Steps, UnknownKind

RefusalCode = Literal[
    "no_program",
    "no_rule",
    "unknown_facility",
    "unknown_version",
    "unknown_programme",
    "readings_gone",
    "too_many_facilities",
    "too_many_steps",
    "command_line_only",
    "currency",
    "price_missing",
    "unknown_kind",
    "schema",
]


class WhatIfRefused(ValueError):
    """There are no amounts to compare; `code` is stable."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Alteration(msgspec.Struct, frozen=True, kw_only=True):
    """The members to alter; None or empty stays."""

    rule: SettlementRule | None = None
    steps: Steps | None = None
    """Of the facilities that were measured again by another baseline; the others keep theirs."""
    without: tuple[str, ...] = ()


class FacilityAmountsFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's part of a settlement."""

    counted: bool
    reason: str | None
    """Why it does not count."""
    committed_kwh: str
    delivered_kwh: str
    gross: str
    net: str


class FacilityDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A facility in both settlements; None: it is in that one not. `difference` is that of `gross`."""

    facility_id: str
    in_force: FacilityAmountsFigures | None
    what_if: FacilityAmountsFigures | None
    difference: str


class SettlementSide(msgspec.Struct, frozen=True, kw_only=True):
    """A side of the comparison: one of the two settlements. Without a rule it has neither level nor total."""

    status: Literal["settled", "not_settled"]
    reasons: tuple[str, ...]
    level: Literal["facility", "portfolio"] | None = None
    performance: str | None = None
    lines: tuple[LineFigures, ...] = ()
    total: str | None = None


class SettlementComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The settlement in force, the hypothetical one, and what differs, split as in a resettlement."""

    currency: str
    in_force: SettlementSide
    what_if: SettlementSide
    changes: tuple[ChangeFigures, ...]
    """The lines that differ; one that is in one settlement only counts 0 in the other."""
    by_reason: tuple[ReasonFigures, ...]
    difference: str
    facilities: tuple[FacilityDifference, ...]


def altered(basis: Basis, alteration: Alteration) -> Basis:
    """The basis with the alteration. Raises WhatIfRefused for a facility that has no part in the DR event."""
    present = {one.facility_id for one in basis.dr_event.facilities}
    for facility_id in alteration.without:
        if facility_id not in present:
            raise WhatIfRefused(
                "unknown_facility",
                f"{facility_id[:200]} has no part in DR event {basis.dr_event.dr_event_id}",
            )
    return Basis(
        rule=basis.rule if alteration.rule is None else alteration.rule,
        dr_event=_event_without(basis.dr_event, alteration.without),
        steps={
            name: steps
            for name, steps in {**basis.steps, **(alteration.steps or {})}.items()
            if name not in alteration.without
        },
        step_s=basis.step_s,
    )


def compared(in_force: Basis | None, hypothetical: Basis, program: ProgramInputs) -> SettlementComparison:
    """Both settlements. `in_force` None: no rule was agreed, and nothing is owed yet. Raises WhatIfRefused."""
    try:
        return _compared(in_force, hypothetical, program)
    except CurrencyChanged as error:
        raise WhatIfRefused("currency", str(error)) from error
    except PriceMissing as error:
        raise WhatIfRefused("price_missing", str(error)) from error
    except UnknownKind as error:
        raise WhatIfRefused("unknown_kind", str(error)) from error
    except ValueError as error:
        raise WhatIfRefused("schema", str(error)) from error


def _compared(in_force: Basis | None, hypothetical: Basis, program: ProgramInputs) -> SettlementComparison:
    nothing = replace(hypothetical, rule=_paying_nothing(hypothetical.rule))
    basis = nothing if in_force is None else in_force
    found = resettlement_figures(basis, hypothetical, of_revision=0, of_digest="")
    old = None if in_force is None else settlement_document(in_force, program)
    new = settlement_document(hypothetical, program)
    places = new.minor_unit if old is None else max(old.minor_unit, new.minor_unit)
    before = {} if old is None else {one.facility_id: one for one in old.facilities}
    after = {one.facility_id: one for one in new.facilities}
    return SettlementComparison(
        currency=new.currency,
        in_force=SettlementSide(status="not_settled", reasons=(NO_RULE,)) if old is None else _side(old),
        what_if=_side(new),
        changes=found.changes,
        by_reason=found.by_reason,
        difference=found.difference,
        facilities=tuple(
            _facility(name, before.get(name), after.get(name), places) for name in sorted({*before, *after})
        ),
    )


def _event_without(dr_event: EndedEvent, without: Sequence[str]) -> EndedEvent:
    if not without:
        return dr_event
    left = tuple(one for one in dr_event.facilities if one.facility_id not in without)
    return replace(dr_event, facilities=left)


def _paying_nothing(rule: SettlementRule) -> SettlementRule:
    """The rule without amounts: what is compared with where none was agreed."""
    kinds = {
        kind: replace(one, capacity=None, energy=None, penalty=None, limits=None)
        for kind, one in rule.kinds.items()
    }
    return replace(rule, capacity=None, energy=None, penalty=None, limits=None, kinds=kinds)


def _side(document: SettlementDocument) -> SettlementSide:
    return SettlementSide(
        status=document.status,
        reasons=document.reasons,
        level=document.level,
        performance=document.performance,
        lines=document.lines,
        total=document.total if document.status == "settled" else None,
    )


def _facility(
    facility_id: str, old: FacilityFigures | None, new: FacilityFigures | None, places: int
) -> FacilityDifference:
    gross = [exact("0" if one is None else one.gross) for one in (old, new)]
    return FacilityDifference(
        facility_id=facility_id,
        in_force=_amounts(old),
        what_if=_amounts(new),
        difference=decimal_text(gross[1] - gross[0], places),
    )


def _amounts(facility: FacilityFigures | None) -> FacilityAmountsFigures | None:
    if facility is None:
        return None
    return FacilityAmountsFigures(
        counted=facility.counted,
        reason=facility.reason,
        committed_kwh=facility.committed_kwh,
        delivered_kwh=facility.delivered_kwh,
        gross=facility.gross,
        net=facility.net,
    )
