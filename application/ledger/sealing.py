"""Sealing: archive the entries of the ledger's table under a signed checkpoint."""

from __future__ import annotations

from hashlib import sha256

from application.ledger.checkpoints import (
    CheckpointRefused,
    SignedCheckpoint,
    archived_numbers,
    checkpoint_name,
    read_checkpoint,
    sign,
    tile_name,
)
from application.ports.archive import AlreadyArchived, Archive, NotArchived
from application.ports.clock import Clock
from application.ports.ledger.signer import CheckpointSigner
from application.ports.ledger.store import LedgerStore
from domain.ledger.entries import (
    ENTRY_BYTES,
    LOGS,
    MAX_POSITION,
    MIN_POSITION,
    NO_PREVIOUS_CHECKPOINT,
    Checkpoint,
    LogHead,
    TileRef,
    empty_head,
    hashes_of,
    last_position_of,
    positions_of,
)

TILE_FILE_ENTRIES = 65_536
"""The most entries of an archived tile file: 2.6 MB."""


FOLLOW_ENTRIES = 5_000


def follow(store: LedgerStore, log: str, limit: int = FOLLOW_ENTRIES) -> int:
    """Append the next domain events of the log to the ledger's table. Returns their number. Raises
    LedgerMoved."""
    appended = store.appended(log)
    after = appended.position if appended.size else MIN_POSITION
    entries = store.entries_of_log(log, after=after, up_to=MAX_POSITION, limit=limit)
    if entries:
        store.append(log, appended.size, entries)
    return len(entries) // ENTRY_BYTES


class LedgerContradicted(Exception):
    """Database and archive contradict each other. Nothing is signed until a person has examined it."""


class Sealer:
    """Makes checkpoints. Each extends the frontier of the last one in the archive, not of the database."""

    def __init__(self, store: LedgerStore, archive: Archive, signer: CheckpointSigner, clock: Clock) -> None:
        self._store = store
        self._archive = archive
        self._signer = signer
        self._clock = clock

    def seal(self) -> SignedCheckpoint | None:
        """A checkpoint over everything appended since the last one; None if nothing was.

        Raises LedgerContradicted, or the error of the database or the archive; then it may be retried.
        """
        last = self._last()
        heads = tuple(self._extended(log, last) for log in LOGS)
        if not any(head.tiles for head in heads):
            return None
        checkpoint = Checkpoint(
            number=last.number + 1 if last else 1,
            at=self._clock.now(),
            previous=last.digest() if last else NO_PREVIOUS_CHECKPOINT,
            heads=heads,
        )
        signed = sign(checkpoint, self._signer)
        try:
            self._archive.put_once(checkpoint_name(checkpoint.number), signed.written())
        except AlreadyArchived as error:
            if (
                self._find(checkpoint.number) != signed
            ):  # otherwise it is ours, and only the response was lost
                raise LedgerContradicted(
                    f"another process archived checkpoint {checkpoint.number} first"
                ) from error
        self._store.keep_checkpoint(checkpoint.number, signed.written())
        return signed

    def _last(self) -> Checkpoint | None:
        """The newest checkpoint in the archive. One that was archived just before a crash is stored in the
        database too."""
        known = self._store.last_checkpoint_number()
        number = known
        if known == 0:
            number = max(archived_numbers(self._archive), default=0)
            if number == 0:
                return None
        signed = self._read(number)
        while (following := self._find(signed.checkpoint.number + 1)) is not None:
            signed = following
        if signed.checkpoint.number != known:
            self._store.keep_checkpoint(signed.checkpoint.number, signed.written())
        return signed.checkpoint

    def _find(self, number: int) -> SignedCheckpoint | None:
        try:
            written = self._archive.get(checkpoint_name(number))
        except NotArchived:
            return None
        try:
            return read_checkpoint(written, self._signer.public_key, number=number)
        except CheckpointRefused as error:
            raise LedgerContradicted(f"checkpoint {number} in the archive: {error}") from error

    def _read(self, number: int) -> SignedCheckpoint:
        signed = self._find(number)
        if signed is None:
            raise LedgerContradicted(f"checkpoint {number} is in the database but missing in the archive")
        return signed

    def _extended(self, log: str, last: Checkpoint | None) -> LogHead:
        """The log's head after everything appended. Archives its entries since `last`."""
        before = last.head_of(log) if last else empty_head(log)
        appended = self._store.appended(log)
        if appended.size < before.size:
            raise LedgerContradicted(
                f"the ledger of {log} has {appended.size} entries, and {before.size} are sealed"
            )
        frontier, position = before.frontier(), before.last_position
        if before.size and last_position_of(self._store.entries(log, before.size - 1, 1)) != position:
            raise LedgerContradicted(
                f"the ledger's table of {log} has another entry {before.size} than is sealed"
            )
        tiles: list[TileRef] = []
        while frontier.size < appended.size:
            count = min(TILE_FILE_ENTRIES, appended.size - frontier.size)
            entries = self._store.entries(log, frontier.size, count)
            if len(entries) != count * ENTRY_BYTES or positions_of(entries)[0] <= position:
                raise LedgerContradicted(
                    f"the ledger's table of {log} does not go on after position {position}, where it was sealed"
                )
            tiles.append(self._archived(log, frontier.size, entries))
            frontier.extend(hashes_of(entries))
            position = last_position_of(entries)
        return LogHead(
            log=log,
            size=frontier.size,
            root=frontier.root().hex(),
            last_position=position,
            peaks=tuple(peak.hex() for peak in frontier.peaks),
            tiles=tuple(tiles),
        )

    def _archived(self, log: str, first: int, entries: bytes) -> TileRef:
        name = tile_name(log, first, entries)
        try:
            self._archive.put_once(name, entries)
        except AlreadyArchived as error:
            if self._archive.get(name) != entries:
                raise LedgerContradicted(f"{name} in the archive is not what it is named after") from error
        return TileRef(
            name=name, first=first, count=len(entries) // ENTRY_BYTES, sha256=sha256(entries).hexdigest()
        )
