"""Verification: each settlement in the log follows from the log, and its document is the one that it names."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec
from eventsourcing.utils import get_topic

from application.ports.settlement.documents import SettlementDocumentDamaged, SettlementDocuments
from application.settlement.document import measurements_of, read_document
from application.settlement.log_states import MeasurementsRead, SettlementLog, StatesInLog
from application.settlement.resettled import same_figures
from application.settlement.settled_document import AgreedRule, document_of_basis
from application.settlement.settled_event import (
    basis_of_dr_event,
    reasons_without_document,
)
from application.settlement.shapes import SettlementDocument
from domain.dr_event import DREvent, SettlementFigures
from domain.dr_event.settlement import difference_of

TOPICS = (get_topic(DREvent.Settled), get_topic(DREvent.Resettled))
MAX_FINDINGS = 1_000
EARLIER_STATES = 5
"""A measurement may have been recorded while a settlement was computed from the one before it. A document names those
that it was computed from; where it names none, so many states before the settlement are tried."""
FindingKind = Literal["document", "figures", "difference", "not_recomputable"]


class SettlementFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement that does not hold."""

    kind: FindingKind
    """`document`: it is missing, or was changed. `figures`: the domain event or the document says something else than
    what follows from the log. `difference`: that to the revision before is another one. `not_recomputable`: an
    error."""
    dr_event_id: UUID
    revision: int
    position: int
    detail: str


class SettlementReport(msgspec.Struct, frozen=True, kw_only=True):
    """How many settlements of the log were verified, and those that do not hold."""

    settlements: int
    findings: tuple[SettlementFinding, ...]

    @property
    def holds(self) -> bool:
        return not self.findings


class Recorded(NamedTuple):
    """A settlement in the log."""

    position: int
    fact: DREvent.Settled | DREvent.Resettled

    @property
    def revision(self) -> int:
        return self.fact.revision if isinstance(self.fact, DREvent.Resettled) else 0


def verify_settlements(
    log: SettlementLog,
    documents: SettlementDocuments,
    *,
    after: int = 0,
    until: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SettlementReport:
    """Verify each settlement whose position is greater than `after`, and at most `until`; no telemetry is read.

    `progress` is called with the DR events done, and their number.
    """
    recorded: dict[UUID, list[Recorded]] = {}
    for entry in log.entries_about(TOPICS, after=after, until=until):
        if isinstance(fact := entry.domain_event, DREvent.Settled | DREvent.Resettled):
            recorded.setdefault(fact.originator_id, []).append(Recorded(entry.position, fact))
    findings: list[SettlementFinding] = []
    for number, (dr_event_id, of_one) in enumerate(recorded.items()):
        progress(number, len(recorded))
        if len(findings) < MAX_FINDINGS:
            findings += _of_dr_event(log, documents, dr_event_id, of_one)
    progress(len(recorded), len(recorded))
    count = sum(len(of_one) for of_one in recorded.values())
    return SettlementReport(settlements=count, findings=tuple(findings[:MAX_FINDINGS]))


def _of_dr_event(
    log: SettlementLog, documents: SettlementDocuments, dr_event_id: UUID, recorded: Sequence[Recorded]
) -> Iterator[SettlementFinding]:
    try:
        states = StatesInLog.of(log, dr_event_id)
    except (LookupError, ValueError) as error:
        yield _finding("not_recomputable", dr_event_id, recorded[0], f"its streams cannot be folded: {error}")
        return
    for one in recorded:
        for kind, detail in _problems(states, documents, one):
            yield _finding(kind, dr_event_id, one, detail)


def _finding(kind: FindingKind, dr_event_id: UUID, one: Recorded, detail: str) -> SettlementFinding:
    return SettlementFinding(
        kind=kind, dr_event_id=dr_event_id, revision=one.revision, position=one.position, detail=detail
    )


def _problems(
    states: StatesInLog, documents: SettlementDocuments, one: Recorded
) -> Iterator[tuple[FindingKind, str]]:
    figures, fact = one.fact.figures, one.fact
    if isinstance(fact, DREvent.Resettled):
        expected = difference_of(fact.previous_total, figures.total)
        if fact.difference != expected:
            yield (
                "difference",
                f"it says {fact.difference}; {figures.total} - {fact.previous_total} is {expected}",
            )
    stored = None
    try:
        stored = _stored(documents, one)
    except (SettlementDocumentDamaged, LookupError, msgspec.MsgspecError) as error:
        yield "document", str(error)
    try:
        differences = _differences(states, one, stored)
    except Exception as error:  # noqa: BLE001 - a log that was changed may fail anywhere
        yield "not_recomputable", f"{type(error).__name__}: {error}"
        return
    if differences:
        yield "figures", differences


def _stored(documents: SettlementDocuments, one: Recorded) -> SettlementDocument | None:
    """None: there is none, as the domain event says. Raises LookupError where it is missing."""
    digest = one.fact.figures.digest
    if digest is None:
        return None
    written = documents.find(one.fact.originator_id, digest)
    if written is None:
        raise LookupError(f"the document {digest} is missing")
    return read_document(written)


def _differences(states: StatesInLog, one: Recorded, stored: SettlementDocument | None) -> str:
    """The differences; empty: the settlement follows from the log, or from it as it was shortly before."""
    first = ""
    for until in states.moments_before(one.position, EARLIER_STATES):
        found = _difference_at(states, until, one, stored)
        if not found:
            return ""
        first = first or found
    return first


def _difference_at(states: StatesInLog, until: int, one: Recorded, stored: SettlementDocument | None) -> str:
    figures = one.fact.figures
    read = None if stored is None else MeasurementsRead(measurements_of(stored), one.fact.recorded_at)
    document = document_at(states, until, figures, read)
    if document is None:
        dr_event, terms, _ = states.at(until, version=figures.program_version, read=read)
        reasons = reasons_without_document(dr_event, terms.settlement)
        return _unlike(figures, ("not_settled", reasons, None, None))
    total = document.total if document.status == "settled" else None
    if unlike := _unlike(figures, (document.status, document.reasons, document.currency, total)):
        return unlike
    if stored is not None and not same_figures(stored, document):
        return (
            f"its document has other figures than follow from the log: {_first_difference(stored, document)}"
        )
    return ""


def document_at(
    states: StatesInLog, until: int, figures: SettlementFigures, read: MeasurementsRead | None = None
) -> SettlementDocument | None:
    """The document, as a first revision, by the log up to a position; None: nothing can be computed."""
    dr_event, terms, dispatches = states.at(until, version=figures.program_version, read=read)
    rule = terms.settlement
    if rule is None or reasons_without_document(dr_event, rule):
        return None
    basis = basis_of_dr_event(dr_event, rule, dispatches, states.time_zones(dr_event, dispatches, until))
    agreed = AgreedRule(version=figures.program_version, terms=terms, rule=rule)
    return document_of_basis(basis, agreed, dispatches)


def _unlike(figures: SettlementFigures, follows: tuple[str, tuple[str, ...], str | None, str | None]) -> str:
    """`follows`: status, reasons, currency and total by the log."""
    says = (figures.status, figures.reasons, figures.currency, figures.total)
    return "" if says == follows else f"it says {_text_of(*says)}; from the log follows {_text_of(*follows)}"


def _text_of(status: str, reasons: tuple[str, ...], currency: str | None, total: str | None) -> str:
    return f"{status}, {', '.join(reasons)}" if total is None else f"{total} {currency}"


def _first_difference(stored: SettlementDocument, found: SettlementDocument) -> str:
    for one, other in zip(stored.lines, found.lines, strict=False):
        if (one.unit, one.component, one.amount) != (other.unit, other.component, other.amount):
            return f"{one.unit} {one.component} {one.amount}, not {other.amount}"
    for facility, other_facility in zip(stored.facilities, found.facilities, strict=False):
        if facility.steps != other_facility.steps:
            return f"the steps of {facility.facility_id}"
    return "its facilities or units"
