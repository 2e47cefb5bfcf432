"""The expected revision of a settlement, from the states before it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from application.ledger.recomputation.settlement.states import LogStates
from application.settlement.document import digest_of
from application.settlement.resettled import resettled_document
from application.settlement.settled_document import (
    AgreedRule,
    document_of_basis,
    figures_of,
    figures_without_document,
)
from application.settlement.settled_event import (
    basis_of_dr_event,
    inputs_digest,
    reasons_without_document,
)
from application.settlement.shapes import SettlementDocument
from domain.dr_event import SettlementFigures, SettlementRevision
from domain.program import Terms


class Expected(NamedTuple):
    """The figures, and the document if the rule can be computed."""

    figures: SettlementFigures
    document: SettlementDocument | None = None
    is_unchanged: bool = False
    """It has the same figures as the revision before, so no revision is due."""


def expected_settlement(
    states: LogStates,
    version: int,
    tz_of: Mapping[str, str],
    *,
    in_force: SettlementRevision | None = None,
    previous: SettlementDocument | None = None,
) -> Expected:
    """By that version of the program, as the revision after `in_force`, whose document is `previous`.

    Raises LookupError where the program or that version is not in the proof, ValueError where the rule cannot settle
    this DR event.
    """
    program_id, terms = states.dr_event.judged_notice.program_id, _terms(states, version)
    rule = terms.settlement
    reasons = reasons_without_document(states.dr_event, rule)
    if reasons or rule is None:
        return Expected(figures_without_document(program_id, version, reasons))
    agreed = AgreedRule(version=version, terms=terms, rule=rule)
    basis = basis_of_dr_event(states.dr_event, rule, states.dispatches, tz_of)
    document, digest = document_of_basis(basis, agreed, states.dispatches), inputs_digest(basis)
    is_unchanged = False
    if in_force is not None and previous is not None:
        revised = resettled_document(previous, document)
        is_unchanged = revised is None
        document = revised or document
    if in_force is not None:
        document = msgspec.structs.replace(document, revision=in_force.revision + 1)
    figures = figures_of(document, agreed, inputs_digest=digest, digest=digest_of(document))
    return Expected(figures, document, is_unchanged)


def inputs_of(states: LogStates, version: int, tz_of: Mapping[str, str]) -> str | None:
    """The digest of what that version settles from; None: it has no rule. Raises LookupError as above."""
    terms = _terms(states, version)
    if terms.settlement is None:
        return None
    return inputs_digest(basis_of_dr_event(states.dr_event, terms.settlement, states.dispatches, tz_of))


def _terms(states: LogStates, version: int) -> Terms:
    program_id = states.dr_event.judged_notice.program_id
    program = states.programs.get(program_id)
    terms = None if program is None else program.versions.get(version)
    if terms is None:
        raise LookupError(f"program {program_id} has no version {version} before it")
    return terms
