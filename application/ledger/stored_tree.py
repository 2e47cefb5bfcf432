"""The tree over a log, read from stored tiles: a proof costs O(log n).

Level 0 is the ledger's table, each higher level has one hash for every complete tile of the level below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from application.ports.ledger.store import LedgerStore
from domain.ledger.entries import ENTRY_BYTES, TILE_ENTRIES, hashes_of, positions_of
from domain.ledger.merkle import (
    HASH_BYTES,
    Frontier,
    HashTree,
    ProofRefused,
    Subtree,
    consistency_subtrees,
    folded,
    inclusion_subtrees,
    subtrees,
)

_TILE_LEVELS = TILE_ENTRIES.bit_length() - 1


class _TilesMissing(Exception):
    """A release that stores none sealed these domain events, or a tile was removed."""


class StoredTree:
    """The tree of the first `size` entries. What it returns is not checked against any signature.

    Proofs and roots raise ProofRefused where the table has fewer entries.
    """

    def __init__(self, store: LedgerStore, log: str, size: int) -> None:
        self._store, self._log, self.size = store, log, size
        self._tiles: dict[tuple[int, int], HashTree] = {}
        self._whole: HashTree | None = None

    def located(self, positions: Sequence[int]) -> dict[int, int]:
        """The index of the entry of each position that has one."""
        numbers = self._store.tiles_at(self._log, positions)
        tiles = self._store.tiles(self._log, set(numbers))
        index_of: dict[int, dict[int, int]] = {}
        for number, entries in tiles.items():
            first = number * TILE_ENTRIES
            index_of[number] = {
                position: first + at for at, position in enumerate(positions_of(entries).tolist())
            }
            self._tiles[0, number] = HashTree(hashes_of(entries))
        found = {
            position: index_of.get(number, {}).get(position, self.size)
            for position, number in zip(positions, numbers, strict=True)
        }
        return {position: index for position, index in found.items() if index < self.size}

    def inclusion_proofs(self, indexes: Sequence[int]) -> list[tuple[bytes, ...]]:
        """The path of each of these leaves."""
        return self._folded([inclusion_subtrees(index, self.size) for index in indexes])

    def consistency_proof(self, old_size: int) -> tuple[bytes, ...]:
        """The proof that this tree begins with that of `old_size`; empty from an empty one."""
        return self._folded([consistency_subtrees(old_size, self.size)])[0] if old_size else ()

    def root_of_first(self, size: int) -> bytes:
        """The root over the first so many entries of this tree."""
        return self._folded([[subtrees(0, size)]])[0][0]

    def _folded(self, proofs: list[list[list[Subtree]]]) -> list[tuple[bytes, ...]]:
        try:
            self._load(subtree for proof in proofs for peaks in proof for subtree in peaks)
        except _TilesMissing:
            self._whole = HashTree(hashes_of(self._store.entries(self._log, 0, self.size)))
            if self._whole.size < self.size:
                raise ProofRefused("the ledger's table lacks sealed entries") from None
        return [tuple(folded(peaks, self._root_of) for peaks in proof) for proof in proofs]

    def _load(self, wanted: Iterable[Subtree]) -> None:
        """Read the tiles of these subtrees. Raises _TilesMissing."""
        ends: dict[tuple[int, int], int] = {}
        for subtree in wanted:
            level, tile, (height, number) = _in_tile(subtree)
            end = (number + 1) << height
            ends[level, tile] = max(end, ends.get((level, tile), 0))
        missing: dict[int, set[int]] = {}
        for level, tile in ends.keys() - self._tiles.keys():
            missing.setdefault(level, set()).add(tile)
        for level, numbers in missing.items():
            for tile, packed in self._read(level, numbers).items():
                self._tiles[level, tile] = HashTree(packed)
        if any(place not in self._tiles or self._tiles[place].size < end for place, end in ends.items()):
            raise _TilesMissing

    def _read(self, level: int, numbers: set[int]) -> dict[int, bytes]:
        if level:
            return self._store.nodes(self._log, level, numbers)
        return {tile: hashes_of(entries) for tile, entries in self._store.tiles(self._log, numbers).items()}

    def _root_of(self, subtree: Subtree) -> bytes:
        if self._whole is not None:
            return self._whole.root_of(subtree)
        level, tile, inner = _in_tile(subtree)
        return self._tiles[level, tile].root_of(inner)


def _in_tile(subtree: Subtree) -> tuple[int, int, Subtree]:
    """The level and the number of the tile that has a subtree, and the subtree in it."""
    level, number = subtree
    of_tiles, height = divmod(level, _TILE_LEVELS)
    tile, inner = divmod(number, TILE_ENTRIES >> height)
    return of_tiles, tile, (height, inner)


class TreeWriter:
    """Stores the hashes above the ledger's table of one log."""

    def __init__(self, store: LedgerStore, log: str) -> None:
        self._store, self._log = store, log
        self._counts: list[int] | None = None
        """The number of stored hashes of each level."""

    def cover(self, size: int) -> None:
        """Store the hashes over all complete tiles of the first `size` entries. Reads at most 256 tiles at a time.

        It stops at a damaged tile: verification reports that, and no proof is made over it.
        """
        if self._counts is None:
            self._counts = self._store.node_counts(self._log)
        level, complete = 1, size // TILE_ENTRIES
        while complete:
            if len(self._counts) < level:
                self._counts.append(0)
            while self._counts[level - 1] < complete:
                added = self._extend(level, self._counts[level - 1], complete)
                if not added:
                    return
                self._counts[level - 1] += added
            level, complete = level + 1, complete // TILE_ENTRIES

    def _extend(self, level: int, have: int, complete: int) -> int:
        """Store further hashes of a level, up to the end of one tile. Returns how many."""
        tile, stored = divmod(have, TILE_ENTRIES)
        below = range(have, min(complete, (tile + 1) * TILE_ENTRIES))
        tiles = self._below(level, below)
        roots = [_root(tiles[number]) for number in below if len(tiles.get(number, b"")) == _FULL]
        if len(roots) < len(below):
            return 0
        begun = self._store.nodes(self._log, level, [tile]).get(tile, b"") if stored else b""
        if len(begun) < stored * HASH_BYTES:  # removed meanwhile: the next time they are counted again
            self._counts = None
            return 0
        hashes = begun[: stored * HASH_BYTES] + b"".join(roots)
        self._store.store_nodes(self._log, level, {tile: hashes})
        return len(below)

    def _below(self, level: int, numbers: range) -> dict[int, bytes]:
        if level > 1:
            return self._store.nodes(self._log, level - 1, numbers)
        tiles = self._store.tiles(self._log, numbers)
        return {
            number: hashes_of(entries) for number, entries in tiles.items() if len(entries) % ENTRY_BYTES == 0
        }


_FULL = TILE_ENTRIES * HASH_BYTES


def _root(packed: bytes) -> bytes:
    frontier = Frontier()
    frontier.extend(packed)
    return frontier.root()
