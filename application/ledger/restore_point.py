"""Recording of a restore: what it lost, where the positions go on, and the checkpoint that names both histories.

It is called once after the database was restored to an earlier moment, while no other process works with it. After a
crash it is repeated. The database gets no checkpoint before the first one after the restore is archived: until then a
repetition finds the same restore point, and the same act, and from then on it stores what is archived.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from application.ledger.checkpoints import (
    CheckpointRefused,
    SignedCheckpoint,
    archived_numbers,
    checkpoint_name,
    read_checkpoint,
)
from application.ledger.restores import entries_up_to, recorded_restores, reference_of, sealed_after
from application.ledger.sealed_intervals import SealedEntries, extended_by
from application.ledger.sealing import LedgerContradicted, Sealer
from application.ports.archive import Archive, NotArchived
from application.ports.clock import Clock
from application.ports.ledger.signer import CheckpointSigner
from application.ports.ledger.store import LedgerStore
from domain.administration import LostInterval
from domain.ledger.entries import (
    ENTRY_BYTES,
    LOGS,
    MIN_POSITION,
    empty_head,
    last_position_of,
)

UNSEALED_POSITIONS = 1_000_000
"""Left out above the newest position that is known: more than were ever used and not sealed yet. The archive knows the
sealed ones only."""


class RestorePoint(msgspec.Struct, frozen=True):
    """Where a restored database stands in the history that the archive has."""

    extends: SignedCheckpoint | None
    """The newest one that the database has."""
    lost: tuple[SignedCheckpoint, ...]
    """Those of the archive after it, in order."""
    intervals: tuple[LostInterval, ...]

    @property
    def last(self) -> SignedCheckpoint | None:
        """The newest one of the archive."""
        return self.lost[-1] if self.lost else self.extends


def find_restore_point(store: LedgerStore, archive: Archive, public_key: bytes) -> RestorePoint:
    """Raises LedgerContradicted unless the logs are what the archive has, up to where they end. Then no restore alone
    led here."""
    known = store.last_checkpoint_number()
    newest = archived_numbers(archive)[-1:]
    extends = _archived(archive, known, public_key) if known else None
    if extends is not None and store.checkpoint(known) != extends.written():
        raise LedgerContradicted(
            f"checkpoint {known} of the database is another one than that of the archive"
        )
    lost = tuple(
        _archived(archive, number, public_key) for number in range(known + 1, max([known, *newest]) + 1)
    )
    before = tuple(() if extends is None else (extends,))
    if any(extended_by(signed) < known for signed in lost):
        raise LedgerContradicted(
            f"the database has checkpoint {known}, which an earlier restore lost: restore to a moment before that "
            "restore, or after it"
        )
    intervals = tuple(_lost_of(store, archive, log, (*before, *lost), known) for log in LOGS)
    return RestorePoint(extends, lost, intervals)


def _archived(archive: Archive, number: int, public_key: bytes) -> SignedCheckpoint:
    try:
        return read_checkpoint(archive.get(checkpoint_name(number)), public_key, number=number)
    except NotArchived as error:
        raise LedgerContradicted(f"checkpoint {number} is missing in the archive") from error
    except CheckpointRefused as error:
        raise LedgerContradicted(f"checkpoint {number} of the archive: {error}") from error


def _lost_of(
    store: LedgerStore, archive: Archive, log: str, checkpoints: tuple[SignedCheckpoint, ...], known: int
) -> LostInterval:
    head = checkpoints[0].checkpoint.head_of(log) if known else empty_head(log)
    sealed = sealed_after(SealedEntries(store, archive, log), checkpoints, known, log)
    if sealed is None:
        raise LedgerContradicted(f"the archive lacks tiles of {log} after checkpoint {known}")
    archived_position = last_position_of(sealed) or head.last_position
    after = head.last_position if head.size else MIN_POSITION
    found = store.entries_of_log(log, after=after, up_to=archived_position)
    if not sealed.startswith(found):
        until = last_position_of(found)
        raise LedgerContradicted(
            f"the log {log} differs from what was sealed after position {head.last_position}, up to "
            f"{max(until, last_position_of(entries_up_to(sealed, until)))}: no restore alone led here"
        )
    lost = (len(sealed) - len(found)) // ENTRY_BYTES
    return LostInterval(
        log=log,
        restored_position=(last_position_of(found) or head.last_position) if lost else store.head(log),
        archived_position=archived_position,
        lost=lost,
    )


def record_restore(
    store: LedgerStore,
    archive: Archive,
    signer: CheckpointSigner,
    clock: Clock,
    record: Callable[[RestorePoint], None],
) -> tuple[RestorePoint, SignedCheckpoint]:
    """Continue the positions above all that were used, `record` the restore in the log, and seal it.

    `store` works as the owner of the database. Returns what was lost, and the first checkpoint after it. Raises
    LedgerContradicted, LedgerUnavailable, ArchiveUnavailable, and what `record` raises.
    """
    sealer = Sealer(store, archive, signer, clock)
    if (interrupted := _interrupted(store, archive, signer.public_key)) is not None:
        sealer.store_restored(interrupted[0].lost, interrupted[1])
        if interrupted[1].checkpoint.number == archived_numbers(archive)[-1]:
            return interrupted
    point = find_restore_point(store, archive, signer.public_key)
    for lost in point.intervals:
        used = max(lost.restored_position, lost.archived_position)
        store.skip_positions(lost.log, used + UNSEALED_POSITIONS)
    record(point)
    sealed = sealer.seal_restored(point.extends, reference_of(point.last))
    sealer.store_restored(point.lost, sealed)
    return point, sealed


def _interrupted(
    store: LedgerStore, archive: Archive, public_key: bytes
) -> tuple[RestorePoint, SignedCheckpoint] | None:
    """The newest restore that the log records, and whose checkpoint is archived and not stored in the database yet."""
    known = store.last_checkpoint_number()
    following = [number for number in archived_numbers(archive) if number > known]
    for number in reversed(following):
        signed = _archived(archive, number, public_key)
        for restore in recorded_restores(store, [signed]):
            if restore.act is not None:
                base = restore.checkpoint.extends.number
                extends = _archived(archive, base, public_key) if base else None
                lost = tuple(_archived(archive, one, public_key) for one in range(base + 1, number))
                return RestorePoint(extends, lost, restore.act.lost), signed
    return None
