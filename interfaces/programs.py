"""Documents of programs, for the API and the command line."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from application.operations.portfolio_difference import MemberChange, term_changes
from domain.program import Terms
from projections.program import ProgramRow, ProgramVersion


class ProgramDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A program with its terms in force."""

    program_id: str
    utility_id: str
    version: int
    """Of the terms; a DR event keeps the version that it was accepted under."""
    agreed_at: datetime
    agreed_by: str | None
    """The actor, as in the audit trail; null for a key of the utility."""
    terms: Terms
    """Without its ids an entry of `programs` in the portfolio file has the same fields."""


class ProgramVersionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the terms, and what it changed."""

    version: int
    agreed_at: datetime
    agreed_by: str | None
    position: int | None
    """In the log; null for a key of the utility."""
    changes: tuple[MemberChange, ...]
    """Against the version before; empty for the first one."""
    terms: Terms


class ProgramHistoryDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A program with every version of its terms."""

    program_id: str
    utility_id: str
    version: int
    """The one in force."""
    versions: tuple[ProgramVersionDocument, ...]
    """The oldest first."""
    earlier_before: int | None = None
    """There are older versions: those `before` this one. Null: these begin with the first."""


def program_document(row: ProgramRow) -> ProgramDocument:
    """For operators and auditors."""
    newest = row.newest
    return ProgramDocument(
        program_id=row.program_id,
        utility_id=row.utility_id,
        version=newest.version,
        agreed_at=newest.agreed_at,
        agreed_by=newest.agreed_by,
        terms=newest.terms,
    )


def program_document_of_utility(row: ProgramRow) -> ProgramDocument:
    """For the utility itself: without who of ours recorded the terms."""
    return msgspec.structs.replace(program_document(row), agreed_by=None)


def program_history(
    row: ProgramRow, *, for_utility: bool = False, before: int | None = None, limit: int | None = None
) -> ProgramHistoryDocument:
    """The newest `limit` versions, or those before version `before`. `for_utility`: without who of ours recorded the
    terms."""
    earlier = [one for one in row.versions if before is None or one.version < before]
    first = 0 if limit is None else max(0, len(earlier) - limit)
    return ProgramHistoryDocument(
        program_id=row.program_id,
        utility_id=row.utility_id,
        version=row.newest.version,
        versions=tuple(_versions(earlier, first, for_utility=for_utility)),
        earlier_before=earlier[first].version if first else None,
    )


def _versions(
    versions: Sequence[ProgramVersion], first: int, *, for_utility: bool
) -> Iterator[ProgramVersionDocument]:
    before = versions[first - 1] if first else None
    for one in versions[first:]:
        changes = () if before is None else tuple(term_changes(before.terms, one.terms))
        yield ProgramVersionDocument(
            version=one.version,
            agreed_at=one.agreed_at,
            agreed_by=None if for_utility else one.agreed_by,
            position=None if for_utility else one.position,
            changes=changes,
            terms=one.terms,
        )
        before = one
