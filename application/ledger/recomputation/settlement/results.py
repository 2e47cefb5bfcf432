"""The result of a recomputation of settlements: each revision with its lines, and the total from the readings."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from application.ledger.recomputation.differences import FigureDifference
from application.settlement.shapes import ReasonFigures

DocumentStatus = Literal["equal", "differs", "left_out", "unreadable", "none"]
"""`none`: nothing was computed by a rule, so there is no document."""


class RecomputedLine(msgspec.Struct, frozen=True, kw_only=True):
    """An amount as the document has it, and as the log gives it."""

    unit: str
    component: str
    formula: str
    """In numbers, of the recomputed line."""
    recorded: str | None
    """None: the line, or the document, is not there."""
    recomputed: str

    @property
    def is_equal(self) -> bool:
        return self.recorded == self.recomputed


class FromReadings(msgspec.Struct, frozen=True, kw_only=True):
    """The total where the measurements that were computed again from the readings of the file stand for those that
    were recorded."""

    facilities: int
    """Whose measurement was computed again."""
    measured: int
    """Whose measurement the settlement uses."""
    total: str | None


class RecomputedRevision(msgspec.Struct, frozen=True, kw_only=True):
    """A revision of the settlement, computed again from the terms, the DR event and the measurements before it."""

    revision: int
    position: int
    """Of the domain event that records it."""
    recorded_at: datetime
    why: str
    program_id: str
    program_version: int
    currency: str | None
    status: str
    reasons: tuple[str, ...]
    total: str | None
    """As recorded; None: nothing is settled."""
    recomputed_total: str | None = None
    difference: str | None = None
    """To the revision before."""
    by_reason: tuple[ReasonFigures, ...] = ()
    """That difference, recomputed."""
    document: DocumentStatus = "none"
    document_left_out: str = ""
    lines: tuple[RecomputedLine, ...] = ()
    from_readings: FromReadings | None = None
    """Of the newest revision."""
    differences: tuple[FigureDifference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        return bool(self.differences)

    @property
    def outcome(self) -> str:
        """As recorded: an amount, or why there is none."""
        if self.total is None:
            return f"not settled ({', '.join(self.reasons)})"
        return f"{self.total} {self.currency}"


class SettlementRecomputation(msgspec.Struct, frozen=True, kw_only=True):
    """All revisions, at least one, in their order."""

    revisions: tuple[RecomputedRevision, ...]
    is_newest: bool = True
    """Whether nothing that would change the settlement is recorded after the newest revision."""

    @property
    def newest(self) -> RecomputedRevision:
        return self.revisions[-1]

    @property
    def differs(self) -> bool:
        return any(one.differs for one in self.revisions)

    @property
    def line(self) -> str:
        """The result in one line."""
        count, wrong = len(self.revisions), sum(one.differs for one in self.revisions)
        result = f"{wrong} DIFFER" if wrong else "equal" if count == 1 else "all equal"
        return (
            f"recomputed {count} settlement{'' if count == 1 else 's'}: {result}; "
            f"revision {self.newest.revision}: {self.newest.outcome}"
        )
