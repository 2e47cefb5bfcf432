"""Documents of settlements, as the API publishes them beside the settlement's own."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from application.commands.dr_event import SettlementOutcome
from application.settlement.own_revisions import OwnRevision, OwnWhy
from application.settlement.period_statement import PeriodStatement
from projections.dr_event.projection import DREventRow, SettlementRow


class SettlementRevisionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A revision; 0 is the first, the last is in force. For a key of one facility the amounts of its own part."""

    revision: int
    status: Literal["settled", "not_settled"]
    reasons: tuple[str, ...]
    """Why nothing is settled."""
    program_version: int
    currency: str | None
    total: str | None
    """Above 0 if the utility owes it; null: nothing is settled."""
    difference: str | None
    """To the revision before; null for the first."""
    net: str | None = None
    """What of `total` goes to the facility; for a key of one facility only."""
    why: str | None
    """Why it was settled then; null for a key of one facility, which reads `because`."""
    because: tuple[OwnWhy, ...] = ()
    """What of the facility's part changed; for a key of one facility only."""
    digest: str | None
    """SHA-256 (hex) of the document; null: there is none."""
    settled_at: datetime
    final_at: datetime | None
    """No resettlement after this moment."""


class SettlementRevisionsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Every revision of the settlement of a DR event, the first one first; none: it is not settled yet."""

    dr_event_id: UUID
    waits_for: str | None
    """What the first settlement waits for."""
    revisions: tuple[SettlementRevisionDocument, ...]


class SettledDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The revision in force after the request to settle."""

    dr_event_id: UUID
    revision: int
    recorded: bool
    """False: nothing changed, and the revision of before stays in force."""
    status: Literal["settled", "not_settled"]
    reasons: tuple[str, ...]
    program_version: int
    currency: str | None
    total: str | None
    digest: str | None
    final_at: datetime | None


class FacilityStatementDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A facility's month or season: its own part alone, in each of its programs."""

    facility_id: str
    period: str
    programs: tuple[PeriodStatement, ...]


def revision_document(row: SettlementRow) -> SettlementRevisionDocument:
    return SettlementRevisionDocument(
        revision=row.revision,
        status=row.status,
        reasons=row.reasons,
        program_version=row.program_version,
        currency=row.currency,
        total=row.total,
        difference=row.difference,
        why=row.why,
        digest=row.digest,
        settled_at=row.settled_at,
        final_at=row.final_at,
    )


def own_revision_document(row: SettlementRow, own: OwnRevision) -> SettlementRevisionDocument:
    """Without what the revision says of others: its totals, its reason in words."""
    return SettlementRevisionDocument(
        revision=row.revision,
        status=own.status,
        reasons=own.reasons,
        program_version=row.program_version,
        currency=own.currency,
        total=own.gross if own.status == "settled" else None,
        difference=own.difference,
        net=own.net,
        why=None,
        because=own.because,
        digest=row.digest,
        settled_at=row.settled_at,
        final_at=row.final_at,
    )


def revisions_document(row: DREventRow, waits_for: str) -> SettlementRevisionsDocument:
    return SettlementRevisionsDocument(
        dr_event_id=row.dr_event_id,
        waits_for=None if row.settlements else waits_for,
        revisions=tuple(map(revision_document, row.settlements)),
    )


def settled_document(outcome: SettlementOutcome) -> SettledDocument:
    figures = outcome.figures
    return SettledDocument(
        dr_event_id=outcome.dr_event_id,
        revision=outcome.revision,
        recorded=outcome.recorded,
        status=figures.status,
        reasons=figures.reasons,
        program_version=figures.program_version,
        currency=figures.currency,
        total=figures.total,
        digest=figures.digest,
        final_at=figures.final_at,
    )
