"""Sealing: archive the entries of the ledger's table, and the map of streams, under a signed checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
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
from application.ledger.stored_map import map_change
from application.ledger.stored_tree import TreeWriter
from application.ports.archive import AlreadyArchived, Archive, NotArchived
from application.ports.clock import Clock
from application.ports.ledger.signer import CheckpointSigner
from application.ports.ledger.store import LedgerMoved, LedgerStore
from domain.ledger.entries import (
    DEMAND_RESPONSE,
    ENTRY_BYTES,
    LOGS,
    MAX_POSITION,
    MIN_POSITION,
    NO_PREVIOUS_CHECKPOINT,
    Checkpoint,
    CheckpointAfterRestore,
    ExtendedCheckpoint,
    LogHead,
    MapHead,
    TileRef,
    empty_head,
    hashes_of,
    last_position_of,
    positions_of,
)
from domain.ledger.map_pages import MapChange, MapMismatch, MapState

TILE_FILE_ENTRIES = 65_536
"""The most entries of an archived tile file: 2.6 MB."""
MAP_ENTRIES = 50_000
"""The most domain events of the demand response log under one checkpoint, and in one change of the map of streams: it
bounds the memory of both. What is left is sealed at once by the next checkpoint."""
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
    """Makes checkpoints. Each extends the frontier of the last one in the archive, not of the database.

    So does the map of streams: a stored page that is not under the last signed root is never extended.
    """

    def __init__(
        self,
        store: LedgerStore,
        archive: Archive,
        signer: CheckpointSigner,
        clock: Clock,
        *,
        map_entries: int = MAP_ENTRIES,
    ) -> None:
        self._store = store
        self._archive = archive
        self._signer = signer
        self._clock = clock
        self._map_entries = map_entries
        self._trees = {log: TreeWriter(store, log) for log in LOGS}

    def seal(self) -> SignedCheckpoint | None:
        """The newest checkpoint over everything appended since the last one; None if nothing was.

        First the map of streams is brought up to the last checkpoint. Raises LedgerContradicted, or the error of the
        database or the archive; then it may be retried.
        """
        newest: SignedCheckpoint | None = None
        at = self._clock.now()
        is_drained = all(follow(self._store, log) < FOLLOW_ENTRIES for log in LOGS)
        while True:
            signed, is_rest_left = self._seal_next(at if is_drained else None)
            newest = signed or newest
            if signed is None or not is_rest_left:
                return newest

    def _seal_next(self, drained_at: datetime | None) -> tuple[SignedCheckpoint | None, bool]:
        """The next checkpoint, and whether there are entries that it did not take. At `drained_at` the ledger's table
        had every domain event of the logs; None if it had not."""
        at = self._clock.now()
        last = self._last()
        appended = {log: self._store.appended(log).size for log in LOGS}
        sizes = appended | {DEMAND_RESPONSE: self._most(last, appended[DEMAND_RESPONSE])}
        for log, size in appended.items():
            self._trees[log].cover(size)
        heads = tuple(self._extended(log, last, sizes[log]) for log in LOGS)
        if not any(head.tiles for head in heads):
            return None, False
        state = self._store.map_state(DEMAND_RESPONSE)
        change = self._change_towards(state, heads[LOGS.index(DEMAND_RESPONSE)])
        before = last.complete_at if last else None
        checkpoint = Checkpoint(
            number=last.number + 1 if last else 1,
            at=at,
            previous=last.digest() if last else NO_PREVIOUS_CHECKPOINT,
            heads=heads,
            stream_map=MapHead(streams=change.after.streams, root=change.after.root.hex()),
            complete_at=drained_at if sizes == appended and drained_at is not None else before,
        )
        return self._published(checkpoint, change), sizes != appended

    def seal_restored(self, extends: SignedCheckpoint | None, last: tuple[int, str]) -> SignedCheckpoint:
        """Archive the first checkpoint after a restore of the database: over everything that the logs have, extending
        `extends`, after `last` (number and digest), the newest one of the archive. `store_restored` stores it.

        The caller has recorded the restore in the log. Raises LedgerContradicted, or the error of the database or the
        archive.
        """
        at = self._clock.now()
        self._follow_all()
        base = extends.checkpoint if extends else None
        heads = tuple(self._extended(log, base, self._store.appended(log).size) for log in LOGS)
        change = self._last_change_towards(heads[LOGS.index(DEMAND_RESPONSE)])
        return self._signed_and_archived(
            CheckpointAfterRestore(
                number=last[0] + 1,
                at=at,
                previous=last[1],
                heads=heads,
                stream_map=MapHead(streams=change.after.streams, root=change.after.root.hex()),
                complete_at=at,
                extends=ExtendedCheckpoint(
                    number=base.number if base else 0,
                    digest=base.digest() if base else NO_PREVIOUS_CHECKPOINT,
                ),
            )
        )

    def store_restored(self, lost: Sequence[SignedCheckpoint], signed: SignedCheckpoint) -> None:
        """Store an archived checkpoint after a restore in the database, after those that the restore lost. Raises as
        `seal_restored` does."""
        self._follow_all()
        state = self._store.map_state(DEMAND_RESPONSE)
        unchanged = MapChange(before=state, after=state, pages={})
        for one in lost:
            self._store.keep_checkpoint(one.checkpoint.number, one.written(), DEMAND_RESPONSE, unchanged)
        self._bring_map_to(signed, keep=True)

    def _follow_all(self) -> None:
        """Append all domain events of the logs to the ledger's tables."""
        for log in LOGS:
            while follow(self._store, log) == FOLLOW_ENTRIES:
                pass
            self._trees[log].cover(self._store.appended(log).size)

    def _published(self, checkpoint: Checkpoint, change: MapChange) -> SignedCheckpoint:
        """The checkpoint, signed, archived, and stored with the change of the map."""
        signed = self._signed_and_archived(checkpoint)
        try:
            self._store.keep_checkpoint(checkpoint.number, signed.written(), DEMAND_RESPONSE, change)
        except LedgerMoved:
            if (
                self._store.checkpoint(checkpoint.number) != signed.written()
            ):  # else another process stored it for us
                raise
        return signed

    def _signed_and_archived(self, checkpoint: Checkpoint) -> SignedCheckpoint:
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
        return signed

    def _most(self, last: Checkpoint | None, appended: int) -> int:
        sealed = last.head_of(DEMAND_RESPONSE).size if last else 0
        return min(appended, sealed + self._map_entries)

    def _last(self) -> Checkpoint | None:
        """The newest checkpoint in the archive, with the map of streams as it seals it. One that was archived just
        before a crash is stored in the database too."""
        known = self._store.last_checkpoint_number()
        number = known
        if known == 0:
            number = max(archived_numbers(self._archive), default=0)
            if number == 0:
                return None
        signed = self._read(number)
        while (following := self._find(signed.checkpoint.number + 1)) is not None:
            signed = following
        self._bring_map_to(signed, keep=signed.checkpoint.number != known)
        return signed.checkpoint

    def _bring_map_to(self, signed: SignedCheckpoint, *, keep: bool) -> None:
        """Extend the map of streams to what that checkpoint seals; with `keep`, store the checkpoint in the database
        with the last change."""
        checkpoint = signed.checkpoint
        head = checkpoint.head_of(DEMAND_RESPONSE)
        state = self._store.map_state(DEMAND_RESPONSE)
        if state.size > head.size:
            raise LedgerContradicted(
                f"the map of streams covers {state.size} domain events, and checkpoint {checkpoint.number}, the newest "
                f"one that is there, {head.size}"
            )
        change = self._last_change_towards(head)
        if change.after.root.hex() != checkpoint.stream_map.root:
            raise LedgerContradicted(
                f"the map of streams is not the one that checkpoint {checkpoint.number} seals; if the database was "
                "restored from a backup: gridproof restore --adopt"
            )
        if keep:
            self._store.keep_checkpoint(checkpoint.number, signed.written(), DEMAND_RESPONSE, change)
        elif change.after != change.before:
            self._store.change_map(DEMAND_RESPONSE, change)

    def _last_change_towards(self, head: LogHead) -> MapChange:
        """The change that brings the map to that head; those before it are stored."""
        state = self._store.map_state(DEMAND_RESPONSE)
        while (change := self._change_towards(state, head)).after.size < head.size:
            self._store.change_map(DEMAND_RESPONSE, change)
            state = change.after
        return change

    def _change_towards(self, state: MapState, head: LogHead) -> MapChange:
        """The next change of the map on its way to that head."""
        size, position = head.size, head.last_position
        if size - state.size > self._map_entries:
            size = state.size + self._map_entries
            position = last_position_of(self._store.entries(DEMAND_RESPONSE, size - 1, 1))
        try:
            return map_change(self._store, state, size=size, position=position)
        except MapMismatch as error:
            raise LedgerContradicted(str(error)) from error

    def _find(self, number: int) -> SignedCheckpoint | None:
        try:
            written = self._archive.get(checkpoint_name(number))
        except NotArchived:
            return None
        return self._checked(number, written)

    def _checked(self, number: int, written: bytes) -> SignedCheckpoint:
        try:
            return read_checkpoint(written, self._signer.public_key, number=number)
        except CheckpointRefused as error:
            raise LedgerContradicted(f"checkpoint {number}: {error}") from error

    def _read(self, number: int) -> SignedCheckpoint:
        signed = self._find(number)
        if signed is None:
            raise LedgerContradicted(f"checkpoint {number} is in the database but missing in the archive")
        return signed

    def _extended(self, log: str, last: Checkpoint | None, size: int) -> LogHead:
        """The log's head after `size` entries. Archives its entries since `last`."""
        before = last.head_of(log) if last else empty_head(log)
        if size < before.size:
            raise LedgerContradicted(f"the ledger of {log} has {size} entries, and {before.size} are sealed")
        frontier, position = before.frontier(), before.last_position
        if before.size and last_position_of(self._store.entries(log, before.size - 1, 1)) != position:
            raise LedgerContradicted(
                f"the ledger's table of {log} has another entry {before.size} than is sealed"
            )
        tiles: list[TileRef] = []
        while frontier.size < size:
            count = min(TILE_FILE_ENTRIES, size - frontier.size)
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
