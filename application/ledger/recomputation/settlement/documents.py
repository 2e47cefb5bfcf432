"""The settlement documents in a proof: whether each is the recorded one, and where it differs from the log; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from application.ledger.proof_document import ProofBroken, ProofDocument
from application.ledger.proof_settlements import REASONS, ProvenSettlement, wanted_documents
from application.ledger.recomputation.differences import MOST_NAMED, FigureDifference
from application.ledger.recomputation.settlement.members import member_differences, plain_values
from application.ledger.recomputation.settlement.results import DocumentStatus
from application.ledger.recomputation.settlement.states import RecordedSettlement
from application.settlement.document import read_document, recomputed
from application.settlement.shapes import SettlementDocument
from domain.dr_event import SettlementFigures

IMPOSSIBLE = (ArithmeticError, LookupError, TypeError, ValueError)
"""What a settlement raises that cannot be computed."""
_NOT_READABLE = (msgspec.MsgspecError, RecursionError)


class DocumentInFile(NamedTuple):
    """The document of a revision. Only one whose digest was recorded is used for what comes after it."""

    status: DocumentStatus
    document: SettlementDocument | None = None
    left_out: str = ""
    digest: str = ""
    content: bytes = b""

    @property
    def is_recorded(self) -> bool:
        return self.status == "equal"

    @property
    def recorded(self) -> SettlementDocument | None:
        return self.document if self.is_recorded else None

    def values(self, document: SettlementDocument) -> Mapping[str, Any]:
        """As JSON; a recorded one with the members that it was written with."""
        values: dict[str, Any] = (
            msgspec.json.decode(self.content) if self.is_recorded else plain_values(document)
        )
        return values


def documents_by_revision(
    document: ProofDocument, recorded: Sequence[RecordedSettlement]
) -> dict[int, ProvenSettlement]:
    """Raises ProofBroken unless there is one, or a reason, for each that was recorded."""
    wanted = [one.revision for one in wanted_documents(one.domain_event for one in recorded)]
    given = {one.revision: one for one in document.settlements}
    for revision in wanted:
        if (entry := given.get(revision)) is None:
            raise ProofBroken(
                f"the document of revision {revision} of the settlement is missing, and no reason is given"
            )
        if entry.left_out not in {"", *REASONS} or bool(entry.left_out) == bool(entry.document):
            raise ProofBroken(f"the settlement document of revision {revision} is of another form")
    if [one.revision for one in document.settlements] != wanted:
        raise ProofBroken("its settlement documents are not those of the revisions that the log records")
    return given


def document_in_file(entry: ProvenSettlement | None, digest: str | None) -> DocumentInFile:
    """`digest`: the recorded one."""
    if entry is None:
        return DocumentInFile("none")
    if entry.left_out:
        return DocumentInFile("left_out", left_out=entry.left_out)
    try:
        content = entry.document.encode()
    except UnicodeError:
        return DocumentInFile("differs")
    own_digest = sha256(content).hexdigest()
    try:
        document = read_document(content)
    except _NOT_READABLE:
        return DocumentInFile("unreadable" if own_digest == digest else "differs", digest=own_digest)
    status: DocumentStatus = "equal" if own_digest == digest else "differs"
    return DocumentInFile(status, document, digest=own_digest, content=content)


def document_differences(
    in_file: DocumentInFile, figures: SettlementFigures, expected: SettlementDocument | None
) -> Iterator[FigureDifference]:
    """From the document that the log gives; and where lines do not follow from the document's own inputs."""
    if in_file.status == "differs":
        yield FigureDifference(
            what="digest of the document", recorded=figures.digest or "", recomputed=in_file.digest
        )
        if in_file.document is None:
            yield FigureDifference(what="document", recorded="no document `settlement/1`")
    document = in_file.document
    if document is None or expected is None or document == expected:
        return
    values, is_recorded = in_file.values(document), in_file.is_recorded
    found = list(islice(member_differences(values, expected, is_recorded=is_recorded), MOST_NAMED - 1))
    yield from found
    if not found or not has_equal_bounds(document, expected):
        return
    try:
        own = recomputed(document)
    except IMPOSSIBLE:
        yield FigureDifference(
            what="the document by its own inputs", recorded="lines", recomputed="not computable"
        )
        return
    for one in islice(member_differences(values, own, is_recorded=is_recorded), MOST_NAMED):
        if one.what.startswith(("lines", "total")):
            yield msgspec.structs.replace(one, what=f"by the document's own inputs, {one.what}")


def has_equal_bounds(one: SettlementDocument, other: SettlementDocument) -> bool:
    """True if it takes no more to compute: a document may name a thousand years, also one that was signed."""

    def bounds(document: SettlementDocument) -> tuple[Any, ...]:
        dr_event = document.inputs.dr_event
        return (
            document.step_s,
            dr_event.starts_at,
            dr_event.ends_at,
            document.inputs.program.settlement.interval_s,
        )

    return bounds(one) == bounds(other)
