"""The document `settlement/1`: a settlement with its inputs, so that its lines follow from the document alone."""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from application.settlement.explained_lines import explained_lines
from application.settlement.flags import flags_of
from application.settlement.shapes import (
    BaselineSummary,
    EventInputs,
    FacilityFigures,
    FacilityIntervalFigures,
    PartFigures,
    ProgramInputs,
    SettlementDocument,
    SettlementInputs,
    UnitFigures,
    UnitIntervalFigures,
)
from domain.event_sourcing.decoders import converted, json_decoder
from domain.settlement.inputs import EndedEvent, event_window
from domain.settlement.quantities import (
    ZERO,
    FacilityQuantities,
    UnitQuantities,
    held,
    rounding_of,
)
from domain.settlement.resettlement import Basis
from domain.settlement.rounding import ENERGY_PLACES, Exact, Rounding, decimal_text
from domain.settlement.settle import FacilityAmounts, Settlement

NOTHING = FacilityAmounts(ZERO, ZERO)
"""Of a facility that does not count."""


class Figures(msgspec.Struct, frozen=True):
    """Exact values as the document writes them."""

    rounding: Rounding

    def energy(self, value: Exact) -> str:
        """kW or kWh, rounded before."""
        return decimal_text(value, ENERGY_PLACES)

    def ratio(self, value: Exact) -> str:
        return decimal_text(self.rounding.ratio(value), self.rounding.ratio_places)

    def money(self, value: Exact) -> str:
        return decimal_text(value, self.rounding.minor_unit)


def settlement_document(
    basis: Basis,
    program: ProgramInputs,
    *,
    baselines: Mapping[str, BaselineSummary] | None = None,
) -> SettlementDocument:
    """The document of a first settlement; `resettled_document` makes a later revision of it. `basis` holds the rule,
    `program` all else of the program. Raises as `settle`."""
    settlement = basis.settlement()
    figures = Figures(rounding_of(settlement.rule))
    window = event_window(basis.dr_event, basis.step_s)
    units = tuple(_unit(settlement, unit, figures) for unit in settlement.units)
    document = SettlementDocument(
        dr_event_id=basis.dr_event.dr_event_id,
        program_id=basis.dr_event.program_id,
        program_version=program.version,
        kind=basis.dr_event.kind,
        currency=settlement.rule.currency,
        minor_unit=settlement.rule.minor_unit,
        level=settlement.rule.level,
        status="not_settled" if settlement.reasons else "settled",
        reasons=settlement.reasons,
        starts_at=basis.dr_event.starts_at,
        ends_at=basis.dr_event.ends_at,
        window_starts_at=window.starts_at,
        window_ends_at=window.ends_at,
        step_s=basis.step_s,
        performance=None if settlement.performance is None else figures.ratio(settlement.performance),
        units=units,
        lines=explained_lines(settlement, units),
        total=figures.money(settlement.total),
        facilities=_facilities(settlement, figures, baselines or {}),
        inputs=SettlementInputs(
            program=msgspec.structs.replace(program, settlement=basis.rule),
            dr_event=event_inputs(basis.dr_event),
        ),
    )
    return msgspec.structs.replace(document, flags=flags_of(document))


def basis_of(document: SettlementDocument) -> Basis:
    """The basis that the document names."""
    return Basis(
        rule=document.inputs.program.settlement,
        dr_event=document.inputs.dr_event,
        steps={one.facility_id: one.steps for one in document.facilities},
        step_s=document.step_s,
    )


def recomputed(document: SettlementDocument) -> SettlementDocument:
    """The document, computed again from its inputs and steps alone. What it says of a revision before stays."""
    found = settlement_document(
        basis_of(document),
        document.inputs.program,
        baselines={one.facility_id: one.baseline for one in document.facilities if one.baseline is not None},
    )
    found = msgspec.structs.replace(
        found, revision=document.revision, origins=document.origins, resettlement=document.resettlement
    )
    return msgspec.structs.replace(found, flags=flags_of(found))


def canonical_bytes(document: msgspec.Struct) -> bytes:
    """The document as JSON, members in the order of their names; its digest is that of these bytes."""
    return msgspec.json.encode(document, order="sorted")


def digest_of(document: msgspec.Struct) -> str:
    """SHA-256, hex."""
    return sha256(canonical_bytes(document)).hexdigest()


def measurements_of(document: SettlementDocument) -> dict[str, str]:
    """Facility -> the domain event that recorded the measurement which it is settled by."""
    return {
        one.facility_id: one.baseline.domain_event_id
        for one in document.facilities
        if one.baseline is not None and one.baseline.domain_event_id is not None
    }


def read_document(written: bytes) -> SettlementDocument:
    """Raises msgspec.ValidationError or DecodeError."""
    return json_decoder(SettlementDocument).decode(written)


def event_inputs(dr_event: EndedEvent) -> EventInputs:
    """The DR event as event.json has it."""
    if isinstance(dr_event, EventInputs):
        return dr_event
    return converted(msgspec.to_builtins(dr_event), EventInputs)


def _unit(settlement: Settlement, unit: UnitQuantities, figures: Figures) -> UnitFigures:
    return UnitFigures(
        unit=unit.unit,
        seconds=int(unit.hours * 3600),
        committed_kwh=figures.energy(unit.committed_kwh),
        counted_kwh=figures.energy(unit.counted_kwh),
        performance=None if unit.ratio is None else figures.ratio(unit.ratio),
        intervals=tuple(
            UnitIntervalFigures(
                starts_at=one.starts_at,
                seconds=int(one.hours * 3600),
                committed_kw=figures.energy(one.committed_kw),
                delivered_kw=figures.energy(one.delivered_kw),
                counted_kw=figures.energy(one.counted_kw),
                performance=figures.ratio(held(settlement.rule, one.counted_kw / one.committed_kw))
                if one.committed_kw > 0
                else None,
            )
            for one in unit.intervals
        ),
    )


def _facilities(
    settlement: Settlement, figures: Figures, baselines: Mapping[str, BaselineSummary]
) -> tuple[FacilityFigures, ...]:
    at_facility = settlement.rule.level == "facility"
    ratios = {unit.unit: unit.ratio for unit in settlement.units if at_facility}
    found = []
    for one in settlement.facilities:
        name = one.facility_id
        facility = _facility(one, figures, settlement.amounts.get(name, NOTHING))
        found.append(
            msgspec.structs.replace(
                facility,
                performance=None if (ratio := ratios.get(name)) is None else figures.ratio(ratio),
                baseline=baselines.get(name),
            )
        )
    return tuple(found)


def _facility(facility: FacilityQuantities, figures: Figures, amounts: FacilityAmounts) -> FacilityFigures:
    return FacilityFigures(
        facility_id=facility.facility_id,
        result=facility.result,
        counted=facility.reason is None,
        reason=facility.reason,
        coverage=figures.ratio(facility.coverage),
        committed_kwh=figures.energy(facility.committed_kwh),
        delivered_kwh=figures.energy(facility.delivered_kwh),
        shortfall_kwh=figures.energy(facility.shortfall_kwh),
        gross=figures.money(amounts.gross),
        net=figures.money(amounts.net),
        parts=tuple(
            PartFigures(
                unit=one.unit,
                component=one.component,
                gross=figures.money(one.gross),
                net=figures.money(one.net),
            )
            for one in amounts.parts
        ),
        intervals=tuple(
            FacilityIntervalFigures(
                starts_at=one.starts_at,
                steps=one.steps,
                known_steps=one.known_steps,
                committed_kw=figures.energy(one.committed_kw),
                delivered_kw=None if one.delivered_kw is None else figures.energy(one.delivered_kw),
            )
            for one in facility.intervals
        ),
        steps=facility.steps,
    )
