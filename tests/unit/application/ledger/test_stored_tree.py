"""Proofs from stored tiles are those of the whole tree, and read O(log n) tiles."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from application.ledger.stored_tree import StoredTree, TreeWriter
from domain.ledger.entries import DEMAND_RESPONSE, ENTRY_BYTES, TILE_ENTRIES, hashes_of
from domain.ledger.merkle import HASH_BYTES, HashTree, ProofRefused, leaf_hash
from tests.fakes.ledger.store import FakeLedgerStore

SIZE = 2 * TILE_ENTRIES**2 + 3 * TILE_ENTRIES + 77
ENTRIES = b"".join(
    (3 * number).to_bytes(8, "big") + leaf_hash(number.to_bytes(8, "big")) for number in range(SIZE)
)
WHOLE = HashTree(hashes_of(ENTRIES))


class CountingStore(FakeLedgerStore):
    """Counts the tiles that are read, and refuses to read everything."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def entries(self, log: str, first: int, count: int) -> bytes:
        assert count <= TILE_ENTRIES, "the whole table"
        return super().entries(log, first, count)

    def tiles(self, log: str, numbers: Collection[int]) -> dict[int, bytes]:
        self.read += len(numbers)
        return super().tiles(log, numbers)

    def nodes(self, log: str, level: int, numbers: Collection[int]) -> dict[int, bytes]:
        self.read += len(numbers)
        return super().nodes(log, level, numbers)


@pytest.fixture(scope="module")
def store() -> CountingStore:
    stored = CountingStore()
    stored.table[DEMAND_RESPONSE] = ENTRIES
    TreeWriter(stored, DEMAND_RESPONSE).cover(SIZE)
    return stored


def test_the_stored_hashes_are_those_over_every_complete_tile(store: CountingStore) -> None:
    assert store.node_counts(DEMAND_RESPONSE) == [SIZE // TILE_ENTRIES, SIZE // TILE_ENTRIES**2]
    assert store.nodes(DEMAND_RESPONSE, 2, [0])[0] == b"".join(
        WHOLE.root_of((16, number)) for number in range(SIZE // TILE_ENTRIES**2)
    )


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 70_001, SIZE])
def test_proofs_are_those_of_the_whole_tree(store: CountingStore, size: int) -> None:
    tree = StoredTree(store, DEMAND_RESPONSE, size)
    indexes = sorted({0, 1, size // 2, size // 3, size - 1} & set(range(size)))
    found = tree.located([3 * index for index in indexes])
    assert found == {3 * index: index for index in indexes}
    assert tree.inclusion_proofs(indexes) == [WHOLE.inclusion_proof(index, size) for index in indexes]
    for old_size in {1, size // 2 or 1, size}:
        assert tree.consistency_proof(old_size) == WHOLE.consistency_proof(old_size, size)
    assert tree.consistency_proof(0) == ()


def test_a_proof_reads_a_few_tiles_whatever_the_size(store: CountingStore) -> None:
    store.read = 0
    tree = StoredTree(store, DEMAND_RESPONSE, SIZE)
    index = tree.located([3 * 40_000])[3 * 40_000]
    tree.inclusion_proofs([index])
    assert store.read <= 7
    store.read = 0
    StoredTree(store, DEMAND_RESPONSE, SIZE).consistency_proof(40_000)
    assert store.read <= 7


def test_positions_without_an_entry_are_not_located(store: CountingStore) -> None:
    tree = StoredTree(store, DEMAND_RESPONSE, 1_000)
    assert tree.located([-5, 1, 2_998, 3_000, 10**9]) == {}
    assert tree.located([2_997]) == {2_997: 999}


def test_the_writer_resumes_where_it_stopped_and_stops_at_a_damaged_tile() -> None:
    stored = FakeLedgerStore()
    for size in (100, 300, 700, 65_536, 66_000):
        stored.table[DEMAND_RESPONSE] = ENTRIES[: size * ENTRY_BYTES]
        TreeWriter(stored, DEMAND_RESPONSE).cover(size)
        assert stored.node_counts(DEMAND_RESPONSE)[:1] == [size // TILE_ENTRIES][: size // TILE_ENTRIES]
    assert stored.node_counts(DEMAND_RESPONSE) == [257, 1]
    hashes = b"".join(stored.tree[DEMAND_RESPONSE, 1, tile] for tile in (0, 1))
    assert hashes == b"".join(WHOLE.root_of((8, number)) for number in range(257))
    assert len(hashes) == 257 * HASH_BYTES
    TreeWriter(stored, DEMAND_RESPONSE).cover(SIZE)
    assert stored.node_counts(DEMAND_RESPONSE) == [257, 1]


@pytest.mark.parametrize("emptied", ["all", "first", "last"])
def test_hashes_that_were_removed_under_a_writer_are_stored_again(emptied: str) -> None:
    """As the owner of the database may after damage (docs/runbooks/ledger_mismatch.md)."""
    stored = FakeLedgerStore()
    writer = TreeWriter(stored, DEMAND_RESPONSE)
    stored.table[DEMAND_RESPONSE] = ENTRIES[: 66_000 * ENTRY_BYTES]
    writer.cover(66_000)
    if emptied == "all":
        stored.tree.clear()
    else:
        del stored.tree[DEMAND_RESPONSE, 1, 0 if emptied == "first" else 1]
    stored.table[DEMAND_RESPONSE] = ENTRIES
    writer.cover(SIZE)
    writer.cover(SIZE)
    if emptied == "first":
        TreeWriter(stored, DEMAND_RESPONSE).cover(SIZE)
    assert stored.node_counts(DEMAND_RESPONSE) == [SIZE // TILE_ENTRIES, SIZE // TILE_ENTRIES**2]
    hashes = b"".join(stored.tree[DEMAND_RESPONSE, 1, tile] for tile in range(SIZE // TILE_ENTRIES**2 + 1))
    assert hashes == b"".join(WHOLE.root_of((8, number)) for number in range(SIZE // TILE_ENTRIES))
    assert stored.tree[DEMAND_RESPONSE, 2, 0] == WHOLE.root_of((16, 0)) + WHOLE.root_of((16, 1))


def test_without_stored_hashes_the_whole_table_is_read() -> None:
    """As under a checkpoint of a release that stores none."""
    stored = FakeLedgerStore()
    stored.table[DEMAND_RESPONSE] = ENTRIES[: 2_000 * ENTRY_BYTES]
    tree = StoredTree(stored, DEMAND_RESPONSE, 2_000)
    assert tree.inclusion_proofs([7, 1_999]) == [
        WHOLE.inclusion_proof(7, 2_000),
        WHOLE.inclusion_proof(1_999, 2_000),
    ]


@pytest.mark.parametrize("tiles_kept", [0, 1, 7])
def test_no_proof_is_made_over_a_table_that_lacks_entries(tiles_kept: int) -> None:
    stored = FakeLedgerStore()
    stored.table[DEMAND_RESPONSE] = ENTRIES[: tiles_kept * TILE_ENTRIES * ENTRY_BYTES]
    tree = StoredTree(stored, DEMAND_RESPONSE, 2_000)
    with pytest.raises(ProofRefused, match="the ledger's table lacks sealed entries"):
        tree.inclusion_proofs([7])
    with pytest.raises(ProofRefused, match="the ledger's table lacks sealed entries"):
        tree.consistency_proof(1_000)
