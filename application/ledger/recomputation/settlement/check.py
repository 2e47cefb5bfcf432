"""Recomputation of the settlements in a proof, revision by revision; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from application.ledger.proof_check import CheckedProof
from application.ledger.proof_document import ProofBroken
from application.ledger.proof_settlements import ProvenSettlement, revision_of
from application.ledger.recomputation.differences import MOST_NAMED, FigureDifference
from application.ledger.recomputation.results import Recomputation
from application.ledger.recomputation.settlement.documents import (
    IMPOSSIBLE,
    DocumentInFile,
    document_differences,
    document_in_file,
    documents_by_revision,
    has_equal_bounds,
)
from application.ledger.recomputation.settlement.expected import (
    Expected,
    expected_settlement,
    inputs_of,
)
from application.ledger.recomputation.settlement.from_readings import from_readings
from application.ledger.recomputation.settlement.members import plain_or_another
from application.ledger.recomputation.settlement.results import (
    RecomputedLine,
    RecomputedRevision,
    SettlementRecomputation,
)
from application.ledger.recomputation.settlement.states import (
    LogStates,
    RecordedSettlement,
    settlement_history,
)
from application.settlement.document import measurements_of
from application.settlement.resettled import same_figures
from application.settlement.shapes import ReasonFigures, SettlementDocument
from domain.dr_event import DREvent, SettlementFigures
from domain.dr_event.settlement import difference_of

FIGURES = ("program_id", "status", "reasons", "rule_digest", "currency", "total", "final_at")


def recompute_settlements(
    proof: CheckedProof, measured: Recomputation | None
) -> SettlementRecomputation | None:
    """Compute the settlements of a proof again; None: nothing was settled. Raises ProofBroken for documents of another
    form."""
    try:
        return _recomputed(proof, measured)
    except ProofBroken:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ProofBroken(f"its settlements cannot be computed again: {error}") from error


def _recomputed(proof: CheckedProof, measured: Recomputation | None) -> SettlementRecomputation | None:
    history = settlement_history(proof)
    written = documents_by_revision(proof.document, history.settlements)
    if not history.settlements:
        return None
    revisions: list[RecomputedRevision] = []
    before = _Before()
    for recorded in history.settlements:
        revision, before = _revision(recorded, written.get(revision_of(recorded.domain_event)), before)
        revisions.append(revision)
    newest = history.settlements[-1]
    if before.states is not None and measured is not None and revisions[-1].recomputed_total is not None:
        version = newest.domain_event.figures.program_version
        revisions[-1] = from_readings(revisions[-1], before.states, version, before.tz_of, measured)
    is_newest = _is_newest(history.final, newest, before)
    return SettlementRecomputation(revisions=tuple(revisions), is_newest=is_newest)


class _Before(NamedTuple):
    """The document, states and figures that a revision leaves for the next one."""

    document: SettlementDocument | None = None
    states: LogStates | None = None
    """The states that it was settled from."""
    tz_of: Mapping[str, str] = {}
    figures: SettlementFigures | None = None
    """As recomputed."""


def _revision(
    recorded: RecordedSettlement, written: ProvenSettlement | None, before: _Before
) -> tuple[RecomputedRevision, _Before]:
    domain_event, figures = recorded.domain_event, recorded.domain_event.figures
    in_file = document_in_file(written, figures.digest)
    tz_of = before.tz_of
    if (own := in_file.recorded) is not None:
        tz_of = {facility.facility_id: facility.tz for facility in own.inputs.dr_event.facilities}
    states = _states_read(recorded, own)
    result = RecomputedRevision(
        revision=revision_of(domain_event),
        position=recorded.position,
        recorded_at=domain_event.recorded_at,
        why=domain_event.why,
        program_id=figures.program_id,
        program_version=figures.program_version,
        currency=figures.currency,
        status=figures.status,
        reasons=figures.reasons,
        total=figures.total,
        difference=domain_event.difference if isinstance(domain_event, DREvent.Resettled) else None,
        document=in_file.status,
        document_left_out=in_file.left_out,
    )
    in_force = recorded.states.dr_event.settlement
    try:
        expected = expected_settlement(
            states, figures.program_version, tz_of, in_force=in_force, previous=before.document
        )
    except IMPOSSIBLE as error:
        impossible = FigureDifference(what="settlement", recorded=result.outcome, recomputed=str(error))
        return msgspec.structs.replace(result, differences=(impossible,)), before
    differences = [
        *_version_differences(recorded, states),
        *_figure_differences(recorded, expected, has_document=own is not None),
        *document_differences(in_file, figures, expected.document),
    ]
    result = msgspec.structs.replace(
        result,
        recomputed_total=expected.figures.total,
        by_reason=_by_reason(expected),
        lines=_lines(in_file, expected.document),
        differences=tuple(differences[:MOST_NAMED]),
        notes=tuple(_notes(in_file, figures, expected, states)),
    )
    return result, _Before(_for_next(own, expected.document), states, tz_of, expected.figures)


def _for_next(
    recorded: SettlementDocument | None, expected: SettlementDocument | None
) -> SettlementDocument | None:
    """The document that the next revision is compared with."""
    if recorded is None or (expected is not None and not has_equal_bounds(recorded, expected)):
        return expected
    return recorded


def _states_read(recorded: RecordedSettlement, document: SettlementDocument | None) -> LogStates:
    """The states as of the domain event; a measurement that was recorded while it was computed is not in it."""
    if document is None:
        return recorded.states
    return recorded.states.as_read(measurements_of(document), recorded.domain_event.recorded_at)


def _version_differences(recorded: RecordedSettlement, states: LogStates) -> Iterator[FigureDifference]:
    """It is settled by the version of the acceptance, or by a later one that was agreed; never by an earlier again."""
    in_force = states.dr_event.settlement
    least = states.dr_event.program_version if in_force is None else in_force.figures.program_version
    version = recorded.domain_event.figures.program_version
    if version < least:
        yield _difference("version of the program", version, f"{least} or later")
    due = 0 if in_force is None else in_force.revision + 1
    if revision_of(recorded.domain_event) != due:
        yield _difference("number of the revision", revision_of(recorded.domain_event), due)


def _figure_differences(
    recorded: RecordedSettlement, expected: Expected, *, has_document: bool
) -> Iterator[FigureDifference]:
    figures, due_figures = recorded.domain_event.figures, expected.figures
    for name in FIGURES:
        if getattr(figures, name) != getattr(due_figures, name):
            yield _difference(name.replace("_", " "), getattr(figures, name), getattr(due_figures, name))
    if (figures.digest is None) != (due_figures.digest is None):
        yield _difference("digest of the document", figures.digest, due_figures.digest)
    if due_figures.digest is not None and figures.inputs_digest != due_figures.inputs_digest and has_document:
        yield _difference("digest of the inputs", figures.inputs_digest, due_figures.inputs_digest)
    if expected.is_unchanged:
        yield _difference("revision", "a new one", "none: its figures are those of the revision before")
    if isinstance(recorded.domain_event, DREvent.Resettled) and recorded.states.dr_event.settlement:
        before = recorded.states.dr_event.settlement.figures.total
        if recorded.domain_event.previous_total != before:
            yield _difference("total before", recorded.domain_event.previous_total, before)
        if (due := difference_of(before, due_figures.total)) != recorded.domain_event.difference:
            yield _difference("difference to the total before", recorded.domain_event.difference, due)


def _lines(in_file: DocumentInFile, expected: SettlementDocument | None) -> tuple[RecomputedLine, ...]:
    written = () if in_file.document is None else in_file.document.lines
    amounts = {
        (written_line.unit, written_line.component): written_line.amount
        if in_file.recorded
        else plain_or_another(written_line.amount)
        for written_line in written
    }
    return tuple(
        RecomputedLine(
            unit=line.unit,
            component=line.component,
            formula=line.formula,
            recorded=amounts.get((line.unit, line.component)),
            recomputed=line.amount,
        )
        for line in (() if expected is None else expected.lines)
    )


def _by_reason(expected: Expected) -> tuple[ReasonFigures, ...]:
    resettlement = None if expected.document is None else expected.document.resettlement
    return () if resettlement is None else resettlement.by_reason


def _notes(
    in_file: DocumentInFile, figures: SettlementFigures, expected: Expected, states: LogStates
) -> Iterator[str]:
    if in_file.status == "left_out":
        yield f"its document: {in_file.left_out}"
        if expected.figures.digest == figures.digest:
            yield "the document that the log gives has the recorded digest"
    if in_file.status == "unreadable":
        yield "its document is of a form that this release does not know"
    if in_file.recorded is not None and expected.figures.digest != figures.digest:
        yield "its document has other words, or other members, than one of this release; no figure differs by that"
    if figures.program_version != states.dr_event.program_version:
        yield (
            f"settled by version {figures.program_version} of the program; accepted under version "
            f"{states.dr_event.program_version}"
        )


def _is_newest(final: LogStates | None, newest: RecordedSettlement, before: _Before) -> bool:
    """True if what is recorded after it gives the same figures."""
    if final is None or before.states is None or before.figures is None:
        return True
    version = newest.domain_event.figures.program_version
    try:
        if inputs_of(final, version, before.tz_of) == inputs_of(before.states, version, before.tz_of):
            return True
        due = expected_settlement(final, version, before.tz_of)
    except IMPOSSIBLE:
        return False
    if due.document is None or before.document is None:
        return due.figures.total == before.figures.total
    return same_figures(before.document, due.document)


def _difference(what: str, recorded: Any, recomputed: Any) -> FigureDifference:
    return FigureDifference(what=what, recorded=_text(recorded), recomputed=_text(recomputed))


def _text(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:%Y-%m-%d %H:%M:%SZ}" if hasattr(value, "strftime") else str(value)
