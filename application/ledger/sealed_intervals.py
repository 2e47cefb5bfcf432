"""The sealed entries of one log by interval: read from the archive, or recovered from the database by their
root."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal

import msgspec

from application.ledger.checkpoints import Chain, SignedCheckpoint
from application.ports.archive import Archive, NotArchived
from application.ports.ledger.store import LedgerStore
from domain.ledger.entries import (
    ENTRY_BYTES,
    MIN_POSITION,
    CheckpointAfterRestore,
    LogHead,
    TileRef,
    empty_head,
    hashes_of,
)

Damage = tuple[Literal["tile", "interval"], str]


class SealedInterval(msgspec.Struct, frozen=True, kw_only=True):
    """The entries that one checkpoint added to a log."""

    number: int
    """The number of the checkpoint."""
    before: LogHead
    head: LogHead
    tiles: tuple[TileRef, ...] | None
    """None where the checkpoint that names them is missing."""
    begins_at: datetime | None
    """None of its domain events was in the log at this moment, as the last valid checkpoint before says. None where
    that says nothing."""
    ends_at: datetime
    """The time of the checkpoint."""

    @property
    def first(self) -> int:
        """The index of its first leaf in the tree."""
        return self.before.size

    @property
    def count(self) -> int:
        return self.head.size - self.before.size

    @property
    def after(self) -> int:
        return self.before.last_position if self.before.size else MIN_POSITION

    @property
    def first_position(self) -> int:
        """The first possible position."""
        return self.before.last_position + 1


def lineage_of(checkpoints: Sequence[SignedCheckpoint]) -> list[SignedCheckpoint]:
    """The newest checkpoint and those that it extends, in order: without those that restores of the database lost."""
    lineage: list[SignedCheckpoint] = []
    up_to: int | None = None
    for signed in reversed(checkpoints):
        if up_to is None or signed.checkpoint.number <= up_to:
            lineage.append(signed)
            up_to = extended_by(signed)
    return lineage[::-1]


def extended_by(signed: SignedCheckpoint) -> int:
    """The number of the checkpoint whose heads a checkpoint extends; 0 for none."""
    checkpoint = signed.checkpoint
    return (
        checkpoint.extends.number if isinstance(checkpoint, CheckpointAfterRestore) else checkpoint.number - 1
    )


def intervals_of(chain: Chain, log: str) -> list[SealedInterval]:
    """The intervals with entries under the newest checkpoint, in order."""
    return list(_intervals(chain.checkpoints, log))


def _intervals(checkpoints: Sequence[SignedCheckpoint], log: str) -> Iterator[SealedInterval]:
    before, before_number, begins_at = empty_head(log), 0, None
    for signed in lineage_of(checkpoints):
        number, head, ends_at = signed.checkpoint.number, signed.checkpoint.head_of(log), signed.checkpoint.at
        if head.size > before.size:
            tiles = head.tiles if extended_by(signed) == before_number else None
            yield SealedInterval(
                number=number, before=before, head=head, tiles=tiles, begins_at=begins_at, ends_at=ends_at
            )
        if head.size >= before.size:
            before, before_number, begins_at = head, number, signed.checkpoint.complete_at


class SealedEntries:
    """Reads intervals of one log."""

    def __init__(self, store: LedgerStore, archive: Archive, log: str) -> None:
        self._store, self._archive, self._log = store, archive, log

    def of(self, interval: SealedInterval) -> tuple[bytes | None, list[Damage]]:
        """The interval's entries as sealed, and the damage found; None where the entries are lost."""
        damage: list[Damage] = []
        entries = self._of_tiles(interval, damage)
        if entries is not None and _leads_to(interval, entries):
            return entries, damage
        if entries is not None:
            damage.append(
                ("tile", f"the tiles of checkpoint {interval.number} do not lead to the root that it signs")
            )
        for entries, whence in self._what_is_left(interval):
            if _leads_to(interval, entries):
                damage[-1:] = [("tile", f"{damage[-1][1]}; {whence} proves complete by the signed root")]
                return entries, damage
        damage.append(
            (
                "interval",
                f"something here is not as checkpoint {interval.number} signed it; only the tiles could tell what",
            )
        )
        return None, damage

    def _of_tiles(self, interval: SealedInterval, damage: list[Damage]) -> bytes | None:
        if interval.tiles is None:
            damage.append(
                ("tile", f"the checkpoint before {interval.number}, which names the tiles, is gone")
            )
            return None
        parts = []
        for tile in interval.tiles:
            try:
                content = self._archive.get(tile.name)
            except NotArchived:
                damage.append(("tile", f"{tile.name} is missing in the archive"))
                continue
            if sha256(content).hexdigest() != tile.sha256:
                damage.append(("tile", f"{tile.name} in the archive is not what was sealed"))
                continue
            parts.append(content)
        return None if damage else b"".join(parts)

    def _what_is_left(self, interval: SealedInterval) -> Iterator[tuple[bytes, str]]:
        """The copies in the database, used only where they match the signed root."""
        yield self._store.entries(self._log, interval.first, interval.count), "the ledger's table"
        found = self._store.entries_of_log(
            self._log, after=interval.after, up_to=interval.head.last_position, limit=interval.count + 1
        )
        yield found, "the log itself"


def _leads_to(interval: SealedInterval, entries: bytes) -> bool:
    if len(entries) != interval.count * ENTRY_BYTES:
        return False
    frontier = interval.before.frontier()
    frontier.extend(hashes_of(entries))
    return frontier.root().hex() == interval.head.root
