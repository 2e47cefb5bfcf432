"""The report of a ledger verification, and the range of positions that it covers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from domain.administration import LostInterval
from domain.ledger.entries import MAX_POSITION, MIN_POSITION

FindingKind = Literal[
    "changed",
    "removed",
    "inserted",
    "moved",
    "time",
    "ledger-table",
    "tile",
    "checkpoint",
    "interval",
    "map",
    "rollback",
    "fork",
    "restored",
]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A violation."""

    kind: FindingKind
    """`changed`, `removed`, `inserted`, `moved`: a domain event. `time`: the time of one lies outside the checkpoints
    around it. `ledger-table`, `tile`, `checkpoint`: the proof data. `interval`: something between two positions is not
    as it was signed, and the details are lost. `map`: the map of streams that the newest checkpoint seals is not that
    of the log. `rollback`, `fork`: the ledger ends before a checkpoint that somebody kept, or has another one.
    `restored`: it has that checkpoint, and records that what it seals was lost when the database was restored."""
    log: str | None
    position: int | None
    through: int | None = None
    """If set, the finding covers all positions from `position` to this one."""
    detail: str


class LogReport(msgspec.Struct, frozen=True, kw_only=True):
    """The extent of one log's verification."""

    log: str
    domain_events: int
    """Compared with the sealed entries."""
    head: int
    sealed_to: int
    """The last position under a signed checkpoint."""
    unsealed: int
    """Domain events after it, not covered by any signature yet."""
    more_findings: int = 0


class MapReport(msgspec.Struct, frozen=True, kw_only=True):
    """The map of streams, computed again from the log."""

    checkpoint: int
    """The newest one, whose map was compared."""
    streams: int


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """A restore of the database that the ledger records."""

    checkpoint: int
    """The first one after it."""
    at: datetime
    """The time of that checkpoint."""
    extends: int
    """The checkpoint that the restored log extends."""
    last_archived: int
    """The newest one before the restore. Those between them are lost."""
    target_at: datetime | None
    restored_at: datetime | None
    by: str | None
    lost: tuple[LostInterval, ...]


class LedgerReport(msgspec.Struct, frozen=True, kw_only=True):
    verified: bool
    """The ledger itself holds. One that was restored does, also for the holder of a checkpoint that is lost."""
    public_key: str
    checkpoints: int
    logs: tuple[LogReport, ...]
    stream_map: MapReport | None = None
    """None where it was not compared: no checkpoint has one yet, only a part was verified, or the log is not as it was
    sealed."""
    witness: int | None = None
    """The number of the checkpoint that was held against the ledger."""
    restores: tuple[RestoreReport, ...] = ()
    findings: tuple[Finding, ...]


class Span(msgspec.Struct, frozen=True):
    """Positions, both ends included."""

    first: int = MIN_POSITION
    last: int = MAX_POSITION

    def touches(self, after: int, up_to: int) -> bool:
        return self.first <= up_to and after < self.last
