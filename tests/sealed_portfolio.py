"""A sealed ledger in memory with the log of a portfolio, for tests of proofs and of attacks on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from application.event_store.event_mapper import encode_state, recorded_at_of
from application.ledger.checkpoints import SignedCheckpoint
from application.ledger.proof import prove
from application.ledger.proof_document import ProofDocument
from application.ledger.sealing import Sealer, follow
from application.ledger.verification import verify_ledger
from application.ledger.verification_report import LedgerReport
from domain.ledger.entries import DEMAND_RESPONSE, LOGS, LogRow
from domain.program import Program
from tests.fakes.archive import FakeArchive
from tests.fakes.clock import FakeClock
from tests.fakes.ledger.signer import FakeCheckpointSigner
from tests.fakes.ledger.store import FakeLedgerStore
from tests.property.projections.projected_logs import UTILITY, PortfolioWalk


@dataclass
class SealedPortfolio:
    """The walk's domain events up to a position are recorded by `record`, and sealed by `seal`."""

    walk: PortfolioWalk
    store: FakeLedgerStore = field(default_factory=FakeLedgerStore)
    archive: FakeArchive = field(default_factory=FakeArchive)
    signer: FakeCheckpointSigner = field(default_factory=FakeCheckpointSigner)

    @property
    def dr_event_id(self) -> UUID:
        return self.walk.dr_events[0].id

    def rows(self) -> list[LogRow]:
        return [
            LogRow(
                position=entry.position,
                originator_id=entry.domain_event.originator_id,
                originator_version=entry.domain_event.originator_version,
                topic=entry.topic,
                state=encode_state(entry.domain_event),
            )
            for entry in self.walk.entries
        ]

    def record(self, up_to: int | None = None) -> None:
        self.store.record(
            DEMAND_RESPONSE, *(row for row in self.rows() if up_to is None or row.position <= up_to)
        )

    def seal(self, at: datetime | None = None) -> SignedCheckpoint:
        for log in LOGS:
            while follow(self.store, log):
                pass
        newest = self.store.row(DEMAND_RESPONSE, self.store.head(DEMAND_RESPONSE))
        recorded_at = None if newest is None else recorded_at_of(newest.state)
        clock = FakeClock(at or recorded_at or self.walk.now)
        signed = Sealer(self.store, self.archive, self.signer, clock).seal()
        assert signed is not None
        return signed

    def seal_map_again(self) -> None:
        """Make the map of streams over what is sealed, where it is behind."""
        assert Sealer(self.store, self.archive, self.signer, FakeClock(self.walk.now)).seal() is None

    def prove(self) -> ProofDocument:
        mentioned = str(self.dr_event_id).encode()
        positions = [
            row.position
            for row in self.rows()
            if row.originator_id == self.dr_event_id
            or row.originator_id in self.walk.dispatches
            or (mentioned in row.state and row.topic.startswith("facility."))
        ]
        return prove(self.store, self.signer.public_key, self.dr_event_id, positions)

    def verify(self) -> LedgerReport:
        return verify_ledger(self.store, self.archive, self.signer.public_key)


def completed_dr_event(facilities: int = 2) -> SealedPortfolio:
    """A DR event of all facilities that ran to its end, recorded and not sealed yet."""
    walk = PortfolioWalk(facilities=facilities)
    walk.save(Program.open(walk.provenance(tenant=None), program_id="summer-peak", utility_id=UTILITY))
    walk.happy()
    portfolio = SealedPortfolio(walk)
    portfolio.record()
    return portfolio
