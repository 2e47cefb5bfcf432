"""The part of a settlement that one facility may see: its own part, and nothing of any other's."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from application.settlement.document import basis_of
from application.settlement.resettled import resettlement_figures
from application.settlement.shapes import (
    ChangeFigures,
    EventInputs,
    FacilityFigures,
    LineFigures,
    PeriodDocument,
    ResettlementFigures,
    SettlementDocument,
    SettlementInputs,
)

PART_OF_PORTFOLIO = "part of the portfolio's line by {weight} energy"
PART_OF_PERIOD = (
    "part of the portfolio's line by the energy delivered in the period; without any by enrolment"
)


class FacilityNotSettled(LookupError):
    """The facility has no part in the document."""


def own_part(
    document: SettlementDocument, facility_id: str, previous: SettlementDocument | None = None
) -> SettlementDocument:
    """The facility's own rows; `previous` is the revision before, from which its own changes are told.

    At level `portfolio` its lines are its parts of the portfolio's, and its document does not follow from itself: the
    sums of the others are missing. Raises FacilityNotSettled.
    """
    facility = _facility(document, facility_id)
    return msgspec.structs.replace(
        document,
        performance=facility.performance,
        reasons=() if facility.reason is None else (facility.reason,),
        status="settled" if facility.counted else "not_settled",
        units=tuple(
            unit for unit in document.units if unit.unit == facility_id and document.level == "facility"
        ),
        lines=_lines(document, facility),
        total=facility.gross,
        facilities=(facility,),
        flags=tuple(flag for flag in document.flags if flag.facility_id == facility_id),
        inputs=_inputs(document, facility_id),
        resettlement=_resettlement(document, facility_id, previous),
    )


def own_period(document: PeriodDocument, facility_id: str) -> PeriodDocument:
    """The facility's own capacity of the period; 0 where it has none. At level `portfolio` its line is its part."""
    own = tuple(one for one in document.facilities if one.facility_id == facility_id)
    lines = tuple(line for line in document.lines if line.unit == facility_id)
    if own and not lines:
        lines = tuple(
            msgspec.structs.replace(
                line,
                performance=None,
                amount=own[0].gross,
                quantity=None,
                rate=None,
                factor=None,
                formula=PART_OF_PERIOD,
            )
            for line in document.lines
        )
    zero = f"{Decimal(0):.{document.minor_unit}f}"
    return msgspec.structs.replace(document, lines=lines, facilities=own, total=own[0].gross if own else zero)


def _facility(document: SettlementDocument, facility_id: str) -> FacilityFigures:
    for facility in document.facilities:
        if facility.facility_id == facility_id:
            return facility
    raise FacilityNotSettled(f"facility {facility_id} has no part in DR event {document.dr_event_id}")


def _lines(document: SettlementDocument, facility: FacilityFigures) -> tuple[LineFigures, ...]:
    if document.level == "facility":
        return tuple(line for line in document.lines if line.unit == facility.facility_id)
    notes = {line.component: line.note for line in document.lines}
    allocation = document.inputs.program.settlement.allocation
    return tuple(
        LineFigures(
            unit=part.unit,
            component=part.component,
            amount=part.gross,
            note=notes.get(part.component),
            formula=PART_OF_PORTFOLIO.format(weight="missing" if part.gross.startswith("-") else allocation),
        )
        for part in facility.parts
    )


def _inputs(document: SettlementDocument, facility_id: str) -> SettlementInputs:
    program, dr_event = document.inputs.program, document.inputs.dr_event
    enrolments = {name: kw for name, kw in program.enrolments.items() if name == facility_id}
    facilities = tuple(one for one in dr_event.facilities if one.facility_id == facility_id)
    own: EventInputs = msgspec.structs.replace(dr_event, facilities=facilities)
    return SettlementInputs(program=msgspec.structs.replace(program, enrolments=enrolments), dr_event=own)


def _resettlement(
    document: SettlementDocument, facility_id: str, previous: SettlementDocument | None
) -> ResettlementFigures | None:
    """The facility's own lines that moved. Of a portfolio, reasons explain the whole difference, so they are told only
    where it is the facility's own."""
    found = document.resettlement
    if found is None:
        return None
    if document.level == "facility":
        if previous is not None and previous.level == "facility":
            return _own_reasons(document, found, facility_id, previous)
        changes = tuple(one for one in found.changes if one.unit == facility_id)
    else:
        changes = tuple(_moved_parts(document, facility_id, previous))
    difference = _sum([one.difference for one in changes], document.minor_unit)
    whole = difference == found.difference and len(changes) == len(found.changes)
    return msgspec.structs.replace(
        found, changes=changes, by_reason=found.by_reason if whole else (), difference=difference
    )


def _own_reasons(
    document: SettlementDocument, found: ResettlementFigures, facility_id: str, previous: SettlementDocument
) -> ResettlementFigures:
    """As of a DR event of this facility only: no line depends on another facility."""
    return resettlement_figures(
        basis_of(previous).of_facilities({facility_id}),
        basis_of(document).of_facilities({facility_id}),
        of_revision=found.of_revision,
        of_digest=found.of_digest,
    )


def _moved_parts(
    document: SettlementDocument, facility_id: str, previous: SettlementDocument | None
) -> list[ChangeFigures]:
    if previous is None:
        return []
    new: dict[tuple[str, str], str] = {
        (one.unit, one.component): one.gross for one in _facility(document, facility_id).parts
    }
    old: dict[tuple[str, str], str] = {}
    for facility in previous.facilities:
        if facility.facility_id == facility_id:
            old = {(one.unit, one.component): one.gross for one in facility.parts}
    zero = f"{Decimal(0):.{document.minor_unit}f}"
    changes = []
    for unit, component in dict.fromkeys([*old, *new]):
        before, after = old.get((unit, component), zero), new.get((unit, component), zero)
        if Decimal(before) != Decimal(after):
            changes.append(
                ChangeFigures(
                    unit=unit,
                    component=component,
                    old=before,
                    new=after,
                    difference=f"{Decimal(after) - Decimal(before):f}",
                )
            )
    return changes


def _sum(amounts: Sequence[str], minor_unit: int) -> str:
    total = sum((Decimal(one) for one in amounts), Decimal(0))
    return f"{total:.{minor_unit}f}"
