"""Handler that settles a DR event: its document is stored first, then the domain event that names it.

A process that ends in between leaves a document that nothing names; the next one computes the same again.
"""

from hashlib import sha256

import msgspec

from application.command_bus.decision_context import Decision, DecisionContext
from application.commands.dr_event import SettleDREvent, SettlementOutcome
from application.settlement.document import canonical_bytes, read_document
from application.settlement.resettled import resettled_document
from application.settlement.settled_document import (
    AgreedRule,
    document_of_basis,
    figures_of,
    figures_without_document,
)
from application.settlement.settled_event import (
    Dispatches,
    basis_of_dr_event,
    facilities_of,
    inputs_digest,
    lacks_time_zone,
    reasons_without_document,
)
from application.settlement.shapes import SettlementDocument
from domain.dispatch import Dispatch
from domain.dr_event import DREvent, SettlementFigures, SettlementRevision
from domain.errors import SettlementImpossible, SettlementWaits
from domain.identifiers import dispatch_id
from domain.program import Program
from domain.settlement.lines import PriceMissing
from domain.settlement.resettlement import Basis, CurrencyChanged
from domain.settlement.settle import UnknownKind


def settle_dr_event(command: SettleDREvent, context: DecisionContext) -> Decision:
    """Raises NotAllowedNow, SettlementWaits, SettlementImpossible, SettlementFinal, SettlementDocumentDamaged, or
    LookupError where the program or an earlier document is missing."""
    dr_event = context.dr_event(command.dr_event_id)
    dr_event.check_can_be_settled()
    program = context.program(dr_event.state.judged_notice.program_id)
    if program is None:
        raise LookupError(f"DR event {dr_event.id} is of a program that the log does not have")
    version = _version(dr_event, program, by_newest=command.by_newest_rule)
    document = None
    try:
        figures, document = _settled(dr_event, program, version, context)
    except PriceMissing as error:
        raise SettlementWaits(str(error)) from error
    except (UnknownKind, CurrencyChanged, ValueError) as error:
        raise SettlementImpossible(f"DR event {dr_event.id} cannot be settled: {error}") from error
    if figures is not None:
        dr_event.settle(context.provenance, figures=figures, why=command.why)
    recorded = bool(dr_event.pending_events)
    in_force = dr_event.state.settlement
    if in_force is None:
        raise LookupError(f"DR event {dr_event.id} has no settlement after it was settled")
    if recorded and document is not None:
        context.settlements.add(dr_event.id, document, revision=in_force.revision)
    reply = SettlementOutcome(
        dr_event_id=dr_event.id, revision=in_force.revision, recorded=recorded, figures=in_force.figures
    )
    return Decision(dr_event, reply=reply)


def _version(dr_event: DREvent, program: Program, *, by_newest: bool) -> int:
    """The newest version where it is asked for and has a rule; else that of the revision in force, at first that of
    the acceptance."""
    newest = program.state.terms
    if by_newest and newest is not None and newest.settlement is not None:
        return program.state.version
    in_force = dr_event.state.settlement
    return dr_event.state.program_version if in_force is None else in_force.figures.program_version


_Settled = tuple[SettlementFigures | None, bytes | None]
"""None without figures: those in force. None without a document: there is none."""


def _settled(dr_event: DREvent, program: Program, version: int, context: DecisionContext) -> _Settled:
    terms = program.state.versions.get(version)
    if terms is None:
        raise LookupError(f"program {program.state.program_id} has no version {version}")
    program_id = program.state.program_id
    rule = terms.settlement
    dispatches = {} if rule is None else _dispatches(dr_event, context)
    reasons = reasons_without_document(dr_event.state, rule)
    if reasons or rule is None:
        return figures_without_document(program_id, version, reasons), None
    agreed = AgreedRule(version=version, terms=terms, rule=rule)
    basis = basis_of_dr_event(
        dr_event.state, agreed.rule, dispatches, _time_zones(dr_event, dispatches, context)
    )
    return _with_document(dr_event, agreed, basis, dispatches, context)


def _with_document(
    dr_event: DREvent, agreed: AgreedRule, basis: Basis, dispatches: Dispatches, context: DecisionContext
) -> _Settled:
    in_force, digest = dr_event.state.settlement, inputs_digest(basis)
    if in_force is not None and in_force.figures.inputs_digest == digest:
        return None, None
    earlier = None if in_force is None else _earlier(dr_event, in_force, context)
    document = document_of_basis(basis, agreed, dispatches, earlier=earlier)
    if earlier is not None:
        if (revised := resettled_document(earlier, document)) is None:
            return None, None
        document = revised
    elif in_force is not None:
        document = msgspec.structs.replace(document, revision=in_force.revision + 1)
    written = canonical_bytes(document)
    figures = figures_of(document, agreed, inputs_digest=digest, digest=sha256(written).hexdigest())
    return figures, written


def _earlier(
    dr_event: DREvent, in_force: SettlementRevision, context: DecisionContext
) -> SettlementDocument | None:
    """The document of the revision in force; None: it has none to compare with."""
    if in_force.figures.digest is None:
        return None
    stored = context.settlements.find(dr_event.id, in_force.figures.digest)
    if stored is None:
        raise LookupError(
            f"the document of revision {in_force.revision} is missing; `gridproof audit verify` names it"
        )
    return read_document(stored)


def _dispatches(dr_event: DREvent, context: DecisionContext) -> Dispatches:
    """The dispatches; a share that was too small for a command has none."""
    streams = {dispatch_id(dr_event.id, one): one for one in dr_event.state.dispatched}
    found = context.store.load_many(Dispatch, list(streams))
    return {streams[stream]: dispatch.state for stream, dispatch in found.items()}


def _time_zones(dr_event: DREvent, dispatches: Dispatches, context: DecisionContext) -> dict[str, str]:
    """Time zones of the facilities for which no measurement gives one: the one in force at the start."""
    starts_at = dr_event.state.judged_notice.starts_at
    unknown = [one for one in facilities_of(dr_event.state) if lacks_time_zone(dispatches, one)]
    return {name: one.state.tz_at(starts_at) for name, one in context.facilities(unknown).items()}
