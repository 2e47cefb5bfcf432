"""The check of an audit file, from the file and a public key alone: what was sealed, and what follows from it."""

from __future__ import annotations

from datetime import datetime
from functools import reduce

import msgspec

from application.ledger.consistency import VerifiedConsistency, check_consistency, is_consistency
from application.ledger.proof_check import CheckedProof, VerifiedProof, check_proof
from application.ledger.recomputation.recompute import Installation, recompute
from application.ledger.recomputation.results import Recomputation
from application.ledger.recomputation.settlement.check import recompute_settlements
from application.ledger.recomputation.settlement.results import SettlementRecomputation
from application.ledger.witness import WitnessCheckpoint
from domain.dr_event import DREventState
from domain.event_sourcing.aggregate import state_after


class ProvenSubject(msgspec.Struct, frozen=True, kw_only=True):
    """The subject of a proof, as the domain events of the DR event say."""

    utility_id: str
    utility_event_id: str
    status: str
    settlement_status: str
    program_id: str | None = None
    """None: no notice was judged."""
    program_version: int = 0
    """The version at the acceptance."""
    kind: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class CheckedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The result for a proof or a consistency proof that holds."""

    checked: VerifiedProof | VerifiedConsistency
    subject: ProvenSubject | None = None
    """None: a consistency proof."""
    measurements: Recomputation | None = None
    """None: a consistency proof."""
    settlements: SettlementRecomputation | None = None
    """None: nothing was settled."""

    @property
    def differs(self) -> bool:
        return any(one is not None and one.differs for one in (self.measurements, self.settlements))


def check_file(
    written: bytes, public_key: bytes | None, by: Installation, witness: WitnessCheckpoint | None = None
) -> CheckedFile:
    """Raises ProofBroken."""
    if is_consistency(written):
        return CheckedFile(checked=check_consistency(written, public_key, witness))
    proof = check_proof(written, public_key, witness)
    measurements = recompute(proof, by)
    return CheckedFile(
        checked=proof.verified,
        subject=_subject(proof),
        measurements=measurements,
        settlements=recompute_settlements(proof, measurements),
    )


def _subject(proof: CheckedProof) -> ProvenSubject:
    state: DREventState = reduce(state_after, (row.domain_event for row in proof.own), None)
    notice = state.notice
    return ProvenSubject(
        utility_id=state.utility_id,
        utility_event_id=state.utility_event_id,
        status=state.status,
        settlement_status=state.settlement_status,
        program_id=None if notice is None else notice.program_id,
        program_version=state.program_version,
        kind=state.kind,
        starts_at=None if notice is None else notice.starts_at,
        ends_at=None if notice is None else notice.ends_at,
    )
