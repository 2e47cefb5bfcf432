"""The demo's settlement: what the DR event is settled at, line by line, and whether it follows from the log."""

from __future__ import annotations

from uuid import UUID

import msgspec

from application.settlement.document import read_document
from application.settlement.shapes import ChangeFigures, LineFigures, ReasonFigures, SettlementDocument
from domain.dr_event import DREvent
from interfaces.bootstrap import Stores, verify_settlements


class SettlementCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The settlement in force; the document in full is that of `gridproof settlement show`."""

    status: str
    """`none`: it was not settled in time."""
    reasons: tuple[str, ...] = ()
    revision: int = 0
    currency: str | None = None
    total: str | None = None
    lines: tuple[LineFigures, ...] = ()
    changes: tuple[ChangeFigures, ...] = ()
    """Since the revision before."""
    by_reason: tuple[ReasonFigures, ...] = ()
    difference: str | None = None
    problems: tuple[str, ...] = ()


def settlement_of(stores: Stores, dr_event_id: UUID) -> SettlementCheck:
    """The settlement in force, computed again from the log as `gridproof audit verify` does."""
    in_force = stores.events.load(DREvent, dr_event_id).state.settlement
    if in_force is None:
        return SettlementCheck(status="none", problems=("it was not settled",))
    report = verify_settlements(stores)
    problems = tuple(f"{one.kind} of revision {one.revision}: {one.detail}" for one in report.findings)
    figures = in_force.figures
    document = _document(stores, dr_event_id, figures.digest)
    resettlement = None if document is None else document.resettlement
    return SettlementCheck(
        status=figures.status,
        reasons=figures.reasons,
        revision=in_force.revision,
        currency=figures.currency,
        total=figures.total,
        lines=() if document is None else document.lines,
        changes=() if resettlement is None else resettlement.changes,
        by_reason=() if resettlement is None else resettlement.by_reason,
        difference=None if resettlement is None else resettlement.difference,
        problems=problems,
    )


def _document(stores: Stores, dr_event_id: UUID, digest: str | None) -> SettlementDocument | None:
    written = None if digest is None else stores.settlement_documents().find(dr_event_id, digest)
    return None if written is None else read_document(written)
