"""What a verification of the ledger finds, and over which positions it looks."""

from __future__ import annotations

from typing import Literal

import msgspec

from domain.ledger.entries import BEFORE_ALL, LAST_OF_ALL

FindingKind = Literal[
    "changed", "removed", "inserted", "moved", "ledger-table", "tile", "checkpoint", "interval"
]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that does not hold."""

    kind: FindingKind
    """`changed`, `removed`, `inserted`, `moved`: a domain event. `ledger-table`, `tile`, `checkpoint`: what should
    prove it. `interval`: something between two positions is not as it was signed, and what can no longer be told."""
    log: str | None
    position: int | None
    through: int | None = None
    """With it the finding is about all positions from `position` to this one."""
    detail: str


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far one log was verified."""

    log: str
    domain_events: int
    """Held against what is sealed."""
    head: int
    sealed_to: int
    """The last position under a signed checkpoint."""
    unsealed: int
    """Domain events after it: nothing signed speaks of them yet."""
    more_findings: int = 0


class LedgerReport(msgspec.Struct, frozen=True, kw_only=True):
    verified: bool
    public_key: str
    checkpoints: int
    logs: tuple[LogReport, ...]
    findings: tuple[Finding, ...]


class Span(msgspec.Struct, frozen=True):
    """Positions, both ends included."""

    first: int = BEFORE_ALL
    last: int = LAST_OF_ALL

    def touches(self, after: int, up_to: int) -> bool:
        return self.first <= up_to and after < self.last
